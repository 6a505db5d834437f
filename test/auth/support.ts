import { exportJWK, generateKeyPair, SignJWT } from 'jose'

export const SECRET = 'a-secret-of-more-than-thirty-two-bytes'
export const ISSUER = 'https://issuer.example/auth/v1'
export const RESOURCE = 'https://mcp.example/mcp'
export const METADATA = 'https://mcp.example/.well-known/oauth-protected-resource/mcp'
export const NOW = new Date('2026-01-15T12:00:00Z')
export const NOW_SECONDS = NOW.getTime() / 1000
export const SUBJECT = '0F8FAD5B-D9CB-469F-A165-70867728950E'

/** The claims of a good token; a test changes what it is about. */
export const CLAIMS = {
  iss: ISSUER,
  aud: RESOURCE,
  sub: SUBJECT,
  iat: NOW_SECONDS - 60,
  exp: NOW_SECONDS + 3600,
}

/** A clock that a test can put forward. */
export const clock = () => {
  let moment = NOW.getTime()
  return {
    now: () => new Date(moment),
    pass: (seconds: number) => {
      moment += seconds * 1000
    },
  }
}

/** A value in spite of its type: what JavaScript callers pass and strangers send. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the place of use decides on T
export function untyped<T>(value: unknown): T
export function untyped(value: unknown): unknown {
  return value
}

const bytes = (text: string) => new TextEncoder().encode(text)

/** Signs with the shared secret. A claim set to undefined is left out. */
export const signed = (
  claims: Record<string, unknown> = {},
  { secret = SECRET, header = {} } = {},
): Promise<string> =>
  new SignJWT({ ...CLAIMS, ...claims }).setProtectedHeader({ alg: 'HS256', ...header }).sign(bytes(secret))

export const base64url = (value: unknown): string =>
  btoa(JSON.stringify(value)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')

/** A key pair of an issuer, and how it signs. */
export async function issuerKey(kid: string | undefined, alg = 'ES256') {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
  const jwk = { ...(await exportJWK(publicKey)), ...(kid === undefined ? {} : { kid }) }
  const sign = (claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}) =>
    new SignJWT({ ...CLAIMS, ...claims })
      .setProtectedHeader({ alg, ...(kid === undefined ? {} : { kid }), ...header })
      .sign(privateKey)
  return { jwk, publicKey, sign }
}

/** An issuer's key endpoint without a network: what it serves and whether it is up can be changed. */
export function keyServer(...keys: object[]) {
  const server = {
    url: 'https://issuer.example/jwks',
    keys,
    up: true,
    fetches: 0,
    fetch: async (): Promise<Response> => {
      server.fetches += 1
      await Promise.resolve()
      if (!server.up) throw new TypeError('connection refused')
      return Response.json({ keys: server.keys })
    },
  }
  return server
}

export const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })
