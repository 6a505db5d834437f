import type { Vouch } from '../guard.ts'
import type { Provider, ProviderTokens } from './provider.ts'
import type { Credential, Visit } from './visit.ts'

/** So long before its end a credential is renewed. */
const EARLY_SECONDS = 60
/** How long tokens are good whose provider does not say. */
const UNTOLD_SECONDS = 3600

const secondsOf = (now: Date): number => Math.floor(now.getTime() / 1000)

/**
 * Who the provider's tokens stand for: the access token where the kit takes it, as MCP clients send it; else the ID
 * token's claims, for providers whose access tokens are none of ours to read.
 */
export async function credentialOf(
  { accessToken, claims }: Pick<ProviderTokens, 'accessToken' | 'claims'>,
  vouch: Vouch,
): Promise<Credential | null> {
  const byToken: Credential = { kind: 'token', token: accessToken }
  if ((await vouch(byToken)).ok) return byToken
  return claims === undefined ? null : { kind: 'claims', claims }
}

/** What a visit keeps of tokens, so that they are renewed in time, and the provider's session ends with it. */
export const kept = (
  { refreshToken, idToken, expiresIn = UNTOLD_SECONDS }: ProviderTokens,
  now: Date,
): Pick<Visit, 'fromProvider' | 'refreshToken' | 'renewAt'> => ({
  fromProvider: { idToken },
  ...(refreshToken === undefined
    ? {}
    : { refreshToken, renewAt: secondsOf(now) + Math.max(expiresIn - EARLY_SECONDS, EARLY_SECONDS) }),
})

/** Whether it is time. */
export const isDue = ({ refreshToken, renewAt }: Visit, now: Date): boolean =>
  refreshToken !== undefined && renewAt !== undefined && renewAt <= secondsOf(now)

/**
 * Renews what a visit stands for. While the provider does not answer, it goes on for as long as it is accepted.
 * @returns null when the provider gives no more: then somebody must sign in again.
 */
export async function renewed(
  visit: Visit,
  provider: Provider,
  vouch: Vouch,
  now: Date,
): Promise<Visit | null> {
  let tokens: ProviderTokens | null
  try {
    tokens = await provider.refresh(visit.refreshToken ?? '')
  } catch {
    return visit
  }
  if (tokens === null) return null
  const claims = tokens.claims ?? (visit.credential?.kind === 'claims' ? visit.credential.claims : undefined)
  const credential = await credentialOf({ accessToken: tokens.accessToken, claims }, vouch)
  if (credential === null) return null
  // A provider that does not rotate them gives none.
  const refreshToken = tokens.refreshToken ?? visit.refreshToken
  const idToken = tokens.idToken ?? visit.fromProvider?.idToken
  return { ...visit, credential, ...kept({ ...tokens, refreshToken, idToken }, now) }
}
