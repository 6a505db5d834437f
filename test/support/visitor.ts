export interface Opened {
  status: number
  headers: Headers
  html: string
}

/** A browser without scripts: it keeps cookies, follows no redirect by itself, and sends forms with their key. */
export interface Visitor {
  get(path: string): Promise<Opened>
  /** Sends a form of the page opened last, unless `key` says otherwise. */
  post(path: string, fields: Record<string, string>, options?: PostOptions): Promise<Opened>
  cookies(): string
}

interface PostOptions {
  key?: string | null
  headers?: Record<string, string>
}

/** Whatever answers as a Hono app does. */
interface App {
  request(address: string, init: RequestInit): Response | Promise<Response>
}

export function visitorOf(app: App, base = '/dashboard'): Visitor {
  const jar = new Map<string, string>()
  let formKey = ''
  const cookies = (): string => [...jar].map(([name, value]) => `${name}=${value}`).join('; ')

  async function send(path: string, init: RequestInit): Promise<Opened> {
    const response = await app.request(`http://localhost${base}${path}`, {
      ...init,
      redirect: 'manual',
      headers: { cookie: cookies(), ...(init.headers as Record<string, string>) },
    })
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (/max-age=0/i.test(line)) jar.delete(name)
      else jar.set(name, value)
    }
    const html = await response.text()
    formKey = /name="form_key" value="([^"]+)"/.exec(html)?.[1] ?? formKey
    return { status: response.status, headers: response.headers, html }
  }

  return {
    get: (path) => send(path, {}),
    post: (path, fields, { key = formKey, headers = {} } = {}) =>
      send(path, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
        body: new URLSearchParams({ ...fields, ...(key === null ? {} : { form_key: key }) }).toString(),
      }),
    cookies,
  }
}

/** A visitor who has signed in with a token. */
export async function signedInAs(app: App, token: string): Promise<Visitor> {
  const visitor = visitorOf(app)
  await visitor.get('/sign-in')
  const { status } = await visitor.post('/sign-in', { token })
  if (status !== 303) throw new Error(`The sign-in answered ${status}`)
  return visitor
}

/** The text of a page as people read it: without tags, and with what was escaped as it was meant. */
export const textOf = (html: string): string =>
  html
    .replaceAll(/<(style|script|datalist)[\s\S]*?<\/\1>/g, ' ')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&')
    .replaceAll(/\s+/g, ' ')
