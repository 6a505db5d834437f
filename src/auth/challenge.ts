import type { Refusal } from '../errors.ts'
import { MAX_TOKEN_LENGTH } from './tokens.ts'

/** RFC 9728 section 3.1: the well-known part goes between host and path, and a bare slash falls away. */
export const METADATA_PATH = '/.well-known/oauth-protected-resource'

export const metadataUrl = (resource: string): string => {
  const { origin, pathname, search } = new URL(resource)
  return `${origin}${METADATA_PATH}${pathname === '/' ? '' : pathname}${search}`
}

/** A quoted-string (RFC 9110 section 5.6.4); a header has no place for anything but printable ASCII. */
const quoted = (value: string): string =>
  `"${value.replaceAll(/[^\x20-\x7e]/g, '?').replaceAll(/["\\]/g, String.raw`\$&`)}"`

export interface Challenge {
  error?: 'invalid_token' | 'insufficient_scope'
  description?: string | undefined
}

/**
 * Writes `WWW-Authenticate` values: RFC 6750 section 3, with the `resource_metadata` of RFC 9728 section 5.1 and
 * every required scope at once, so that a client need not ask twice.
 */
export function challenger(resource: string, requiredScopes: readonly string[]) {
  const scope = requiredScopes.join(' ')
  const resourceMetadata = metadataUrl(resource)
  return function challenge({ error, description }: Challenge = {}): string {
    const parameters = {
      error,
      error_description: description,
      scope: scope === '' ? undefined : scope,
      resource_metadata: resourceMetadata,
    }
    const written = Object.entries(parameters).flatMap(([name, value]) =>
      value === undefined ? [] : [`${name}=${quoted(value)}`],
    )
    return `Bearer ${written.join(', ')}`
  }
}

/** What the `Authorization` header holds. */
export type Credentials =
  | { kind: 'none' }
  | { kind: 'bearer'; token: string }
  | { kind: 'refused'; refusal: Refusal }

const SCHEME = 'bearer'
// The b64token of RFC 6750 section 2.1. It has no comma and no space, so two headers joined into one do not pass.
const BEARER = /^bearer +([A-Za-z0-9\-._~+/]+=*)$/i

const refused = (code: 'unauthorized' | 'invalid_token', detail: string): Credentials => ({
  kind: 'refused',
  refusal: { code, detail },
})

/** Reads a bearer token, from the `Authorization` header alone: in a query string it would end up in logs. */
export function readCredentials(authorization: string | null): Credentials {
  if (authorization === null) return { kind: 'none' }
  const scheme = authorization.split(' ', 1)[0]?.toLowerCase()
  // RFC 6750 section 3.1: who tried another scheme is told of ours, without an error code.
  if (scheme !== SCHEME) return refused('unauthorized', 'Only bearer tokens are accepted.')
  if (authorization.length > MAX_TOKEN_LENGTH + SCHEME.length + 1) {
    return refused('invalid_token', 'The token is too long.')
  }
  const token = BEARER.exec(authorization)?.[1]
  return token === undefined
    ? refused('invalid_token', 'The Authorization header is malformed.')
    : { kind: 'bearer', token }
}
