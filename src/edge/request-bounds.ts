import type { Refusal } from '../errors.ts'

/** Longer than any address of ours, with every filter set. */
export const MAX_URL_LENGTH = 8 * 1024
/** Names and values together: what Node and Bun take by default. */
export const MAX_HEADERS_LENGTH = 16 * 1024
export const MAX_HEADERS = 100

/** Names and values, with what stands between them on the wire. */
function headersFault(headers: Headers): string | null {
  let length = 0
  let count = 0
  for (const [name, value] of headers) {
    length += name.length + value.length + 4
    count += 1
  }
  if (count > MAX_HEADERS) return `A request has ${MAX_HEADERS} headers at most.`
  return length > MAX_HEADERS_LENGTH ? `The headers have ${MAX_HEADERS_LENGTH} bytes at most.` : null
}

/** RFC 6750 section 2.3, which MCP forbids: addresses end up in logs and histories. */
const hasToken = (url: URL): boolean =>
  [...url.searchParams.keys()].some((name) => name.toLowerCase() === 'access_token')

/** What is wrong with a request before anybody reads it; no answer repeats what was sent. */
export function requestFault({ url, headers }: Request): Refusal | null {
  if (url.length > MAX_URL_LENGTH)
    return { code: 'uri_too_long', detail: `The address has ${MAX_URL_LENGTH} characters at most.` }
  const fault = headersFault(headers)
  if (fault !== null) return { code: 'headers_too_large', detail: fault }
  if (url.includes('?') && hasToken(new URL(url))) {
    return {
      code: 'token_in_query',
      detail:
        'Send the token in the Authorization header. Addresses are written to logs: take this token for known, and revoke it.',
    }
  }
  return null
}
