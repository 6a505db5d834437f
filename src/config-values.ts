import type { JWK } from 'jose'
import { isLoopback } from './auth/token-options.ts'
import { assertionKeyFaults } from './mcp/user-assertion.ts'
import { profileFault } from './db/profile.ts'

/**
 * How each kind of value is read from text. A fault follows the variable's name in the message: what was found,
 * then the remedy. It never quotes a secret, nor more of a URL than scheme and host: the rest may hold one.
 */

/** A value, or why the text is none. */
export type Parsed<T> = { value: T } | { fault: string }

/** Calls that one user may make in a time. */
export interface RateLimitValue {
  limit: number
  windowSeconds: number
}

const SECRET_BYTES = 32 // HS256 wants a key as long as its hash (RFC 7518 section 3.2); a cookie key no less

/** A host as `URL.hostname` writes it: an IPv6 address in brackets. */
export const inUrl = (host: string): string => (host.includes(':') ? `[${host}]` : host)

const quoted = (text: string): string => JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)

const parsedUrl = (text: string): URL | undefined =>
  /^[a-z][a-z\d+.-]*:\/\//i.test(text) && URL.canParse(text) ? new URL(text) : undefined

// After an unescaped slash in a password, what parses as the host is still a part of the credentials.
const shown = (text: string, url: URL): string =>
  text.includes('@') ? '' : `(${url.protocol}//${url.host}) `

const hasCredentials = (url: URL): boolean => url.username !== '' || url.password !== ''

export const anyText = (text: string): Parsed<string> => ({ value: text })

const ISSUER_LENGTH = 255 // what the row of a user holds

export const issuer = (text: string): Parsed<string> =>
  text.length <= ISSUER_LENGTH
    ? { value: text }
    : { fault: `has ${text.length} characters: give the iss of the tokens, ${ISSUER_LENGTH} at most` }

export const host = (text: string): Parsed<string> => {
  const bare = text.replace(/^\[(.*)\]$/, '$1')
  if (/^(?:[\w.-]+|[\da-f:.]+)$/i.test(bare) && URL.canParse(`http://${inUrl(bare)}`)) return { value: bare }
  return { fault: `is ${quoted(text)}: give a host name or an address alone, such as 127.0.0.1` }
}

/** A number of at most nine digits, so that every sum and product with it stays exact. */
export const integer =
  (max: number, example: string) =>
  (text: string): Parsed<number> =>
    /^\d{1,9}$/.test(text) && Number(text) <= max
      ? { value: Number(text) }
      : { fault: `is ${quoted(text)}: give an integer from 0 to ${max}, such as ${example}` }

export const rateLimitValue = (text: string): Parsed<RateLimitValue> => {
  const [, limit, windowSeconds] = /^([1-9]\d{0,8})\/([1-9]\d{0,8})s$/.exec(text) ?? []
  return limit === undefined || windowSeconds === undefined
    ? { fault: `is ${quoted(text)}: give calls per seconds as N/Ks with positive integers, such as 60/60s` }
    : { value: { limit: Number(limit), windowSeconds: Number(windowSeconds) } }
}

export const secret =
  (source: string) =>
  (text: string): Parsed<string> => {
    const bytes = new TextEncoder().encode(text).length
    return bytes >= SECRET_BYTES
      ? { value: text }
      : { fault: `has ${bytes} bytes: give at least ${SECRET_BYTES}, ${source}` }
  }

export const list = (text: string): Parsed<string[]> => {
  const items = text.split(',').map((item) => item.trim())
  return items.every((item) => item !== '')
    ? { value: [...new Set(items)] }
    : { fault: `is ${quoted(text)}: give values separated by single commas` }
}

const ORIGIN = /^[a-z][a-z\d+.-]*:\/\/[^\s/?#@\\,*]+$/ // of an extension or a desktop app too (RFC 6454 section 6.2)

export const origins = (text: string): Parsed<string[]> => {
  const items = list(text)
  if ('fault' in items) return { fault: 'has an empty entry: give origins separated by single commas' }
  const faults = items.value.flatMap((item) => {
    if (item.includes('*') || item === 'null')
      return ['* and null stand for too many pages: name each origin']
    const url = parsedUrl(item)
    const isWeb = url !== undefined && /^https?:$/.test(url.protocol)
    if (ORIGIN.test(item) && (isWeb ? url.origin === item : url !== undefined)) return []
    if (isWeb && !item.includes('@')) return [`an entry is not exact: write ${url.origin}`]
    return ['an entry is no origin: write scheme and host alone, such as https://app.example.com']
  })
  return faults.length === 0 ? items : { fault: `is refused, ${[...new Set(faults)].join('; ')}` }
}

/** What a web address must be, beside free of credentials and fragment; `bare` is without query too. */
export interface WebRule {
  secure?: boolean
  bare?: boolean
  example: string
}

export const web =
  ({ secure = false, bare = false, example }: WebRule) =>
  (text: string): Parsed<string> => {
    const url = parsedUrl(text)
    const remedy = `give an absolute ${secure ? 'https' : 'http or https'} URL, such as ${example}`
    if (url === undefined) return { fault: `is no absolute URL: ${remedy}` }
    const found = [
      !/^https?:$/.test(url.protocol) && `the scheme ${url.protocol}//`,
      secure && url.protocol === 'http:' && !isLoopback(url.hostname) && 'http beyond loopback',
      hasCredentials(url) && 'a user name or password',
      bare && text.includes('?') && 'a query',
      text.includes('#') && 'a fragment',
    ].filter((fault) => fault !== false)
    if (found.length > 0) return { fault: `${shown(text, url)}has ${found.join(' and ')}: ${remedy}` }
    return { value: text }
  }

/** Read as postgres.js reads it: of several hosts the first stands for all, and every part is percent-decoded. */
export const databaseUrl = (text: string): Parsed<string> => {
  const remedy = 'give postgres://USER:PASSWORD@HOST:5432/DATABASE'
  const url = parsedUrl(text.replace(/,[^/?@]*(?=[/?]|$)/, ''))
  if (url === undefined) {
    return { fault: `is no URL: ${remedy}, with special characters of the password percent-encoded` }
  }
  try {
    decodeURIComponent(`${url.username}${url.password}${url.pathname}`)
  } catch {
    return { fault: `has a % that encodes nothing: ${remedy}, with % itself written as %25` }
  }
  const found = [
    !/^postgres(?:ql)?:$/.test(url.protocol) && `the scheme ${url.protocol}//`,
    url.hostname === '' && 'no host',
    url.pathname.length < 2 && 'no database name',
  ].filter((fault) => fault !== false)
  if (found.length > 0) return { fault: `has ${found.join(' and ')}: ${remedy}` }
  const profile = profileFault(text)
  return profile === null ? { value: text } : { fault: profile }
}

/** The one spelling of a resource: the URL as it is resolved, with a lone slash only where it was given. */
export const canonical = (text: string): string => {
  const { href } = new URL(text)
  return text.endsWith('/') ? href : href.replace(/\/$/, '')
}

/** True when an upstream is the server that asks, by its public URL or by where it listens: a call would come back. */
export function leadsBack(
  upstream: string,
  publicUrl: string,
  own?: { host: string; port: number },
): boolean {
  const url = new URL(upstream)
  const resource = new URL(publicUrl)
  if (url.host === resource.host && url.pathname === resource.pathname) return true
  if (own === undefined || url.protocol !== 'http:' || Number(url.port || 80) !== own.port) return false
  const takesLoopback = isLoopback(inUrl(own.host)) || own.host === '0.0.0.0' || own.host === '::'
  return url.hostname === inUrl(own.host) || (takesLoopback && isLoopback(url.hostname))
}

/** One JWK, a list of them, or a JWK set. */
export const assertionKeys = (text: string): Parsed<JWK[]> => {
  let given: unknown
  try {
    given = JSON.parse(text)
  } catch {
    return { fault: 'is no JSON: give a private EC key on P-256 as a JWK, or a list of keys' }
  }
  const set = typeof given === 'object' && given !== null && 'keys' in given ? given.keys : given
  const keys = (Array.isArray(set) ? set : [set]) as JWK[]
  const faults = assertionKeyFaults(keys)
  return faults.length === 0 ? { value: keys } : { fault: faults.join('; ') }
}
