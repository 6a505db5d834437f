import type { IncomingMessage, ServerResponse } from 'node:http'
import { errors, type Provider } from 'oidc-provider'
import type { Person } from '../people.ts'
import { BASIC_SCOPE } from '../scopes.ts'
import { page, sendPage, signInPage } from './pages.ts'

const MAX_FORM_BYTES = 4096

async function readForm(req: IncomingMessage): Promise<URLSearchParams> {
  let text = ''
  for await (const chunk of req) {
    text += String(chunk)
    if (text.length > MAX_FORM_BYTES) throw new errors.InvalidRequest('the form is too long')
  }
  return new URLSearchParams(text)
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '')

/** Shows who may sign in, and takes the one click: it names the person and lets the client in. */
export async function interact(
  provider: Provider,
  { people, resource }: { people: () => Promise<Person[]>; resource: string },
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  let details: Awaited<ReturnType<Provider['interactionDetails']>>
  try {
    details = await provider.interactionDetails(req, res)
  } catch (error) {
    if (!(error instanceof errors.SessionNotFound)) throw error
    return sendPage(res, 400, page('This sign-in is over', '<p>Start it again where it began.</p>'))
  }
  const { params } = details
  const clientId = text(params['client_id'])
  const redirect = text(params['redirect_uri'])
  const requested = text(params['scope'])
  const asked = [params['resource']].flat().filter((value) => typeof value === 'string')
  const target = asked[0] ?? resource
  if (req.method !== 'POST') {
    const client = await provider.Client.find(clientId)
    const known = new Set([BASIC_SCOPE, 'openid', 'profile', 'email', 'offline_access'])
    const scopes = requested.split(' ').filter((scope) => scope !== '' && !known.has(scope))
    const request = { client: client?.clientName ?? clientId, redirect, resource: target, scopes }
    return sendPage(res, 200, signInPage(request, await people()), redirect)
  }

  const form = await readForm(req)
  const person = (await people()).find(({ sub }) => sub === form.get('person'))
  const finish = (result: Parameters<Provider['interactionFinished']>[2]): Promise<void> =>
    provider.interactionFinished(req, res, result, { mergeWithLastSubmission: false })
  if (person === undefined) {
    return await finish({ error: 'access_denied', error_description: 'The client was not let in' })
  }
  if (details.session !== undefined && details.session.accountId !== person.sub) {
    // Somebody else was here. The provider would sign them out with a form that a script sends: this is the same.
    const { uid } = details.session
    delete details.session
    await details.persist()
    await (await provider.Session.findByUid(uid))?.destroy()
  }
  const grant = new provider.Grant({ accountId: person.sub, clientId })
  grant.addOIDCScope(requested)
  for (const each of asked.length === 0 ? [resource] : asked) grant.addResourceScope(each, requested)
  await finish({ login: { accountId: person.sub }, consent: { grantId: await grant.save() } })
}
