import * as parse from './config-values.ts'
import { quotaFaults, type QuotaRule } from './limits/quota-rule.ts'
import { headerFaults } from './mcp/proxy-faults.ts'
import { ASSERTED_CLAIMS, type AssertedClaim } from './mcp/user-assertion.ts'

/** One of several MCP servers behind this kit. */
export interface UpstreamConfig {
  /** Where clients find it, below the origin of PUBLIC_URL. */
  path: string
  url: string
  /** Its tools are recorded as `NAME/tool`. */
  name: string
  /** Credentials of this kit there. */
  headers: Record<string, string>
  requiredScopes: string[]
  /** Per user, and this server's alone. */
  rateLimit: parse.RateLimitValue | undefined
  /** What calls are expected to use; tools by the names that the server gives them. */
  quota: QuotaRule
  /** What the server is told of the caller beside their id; undefined tells it nothing. */
  assertion: AssertedClaim[] | undefined
  timeoutSeconds: number | undefined
}

export type Environment = Readonly<Record<string, string | undefined>>

const FIELDS = [
  'path',
  'url',
  'name',
  'headers',
  'requiredScopes',
  'rateLimit',
  'quota',
  'assertion',
  'timeoutSeconds',
]
/** Where this server has pages and routes of its own. */
const OWN_PATHS = /^\/(?:api|dashboard|health|oauth|\.well-known)(?:\/|$)/
const PATH = /^(?:\/[\w.~-]+)+$/
const NAME = /^[\w.-]{1,40}$/
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+$/

type Fields = Record<string, unknown>
const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string')

/** The headers with what the environment has in place of each `${NAME}`, so that the file holds no secret. */
function filled(headers: Fields, env: Environment): { headers: Record<string, string>; faults: string[] } {
  const faults: string[] = []
  const filledIn = Object.entries(headers).map(([name, value]) => {
    if (typeof value !== 'string') return [name, value] as const
    const text = value.replaceAll(/\$\{(\w+)\}/g, (_, variable: string) => {
      const known = env[variable] ?? ''
      if (known === '') faults.push(`headers.${name} needs ${variable}, which is not set: set it`)
      return known
    })
    return [name, text] as const
  })
  const filledHeaders = Object.fromEntries(filledIn) as Record<string, string>
  return { headers: filledHeaders, faults: [...faults, ...headerFaults(filledHeaders)] }
}

function readUpstream(given: unknown, env: Environment): { value: UpstreamConfig; faults: string[] } {
  const faults: string[] = []
  const fields = isObject(given) ? given : {}
  if (!isObject(given))
    faults.push('is no object: give at least { "path": "/mcp/tools", "url": "https://…" }')
  /** A field that is text, read as a variable of the environment is. */
  const read = <T>(name: string, of: (text: string) => parse.Parsed<T>, needed = false): T | undefined => {
    const value = fields[name]
    if (value === undefined && !needed) return undefined
    const parsed =
      typeof value === 'string' ? of(value) : { fault: `is ${value === undefined ? 'missing' : 'no text'}` }
    if ('value' in parsed) return parsed.value
    faults.push(`${name} ${parsed.fault}`)
    return undefined
  }
  const check = <T>(name: string, is: (value: unknown) => value is T, otherwise: T, remedy: string): T => {
    const value = fields[name]
    if (value === undefined) return otherwise
    if (is(value)) return value
    faults.push(`${name} ${remedy}`)
    return otherwise
  }
  const unknown = Object.keys(fields).filter((name) => !FIELDS.includes(name))
  if (unknown.length > 0)
    faults.push(`has ${unknown.join(', ')}, which nobody reads: give ${FIELDS.join(', ')}`)

  const path = read('path', pathOf, true) ?? ''
  const { headers, faults: headersFaults } = filled(
    check('headers', isObject, {}, 'must be an object of names and texts'),
    env,
  )
  const quota = check('quota', isObject, {}, 'must be an object such as { "estimate": { "cost": "0.05" } }')
  const asserted = check(
    'assertion',
    isAssertion,
    undefined,
    `must be true or a list of ${ASSERTED_CLAIMS.join(', ')}`,
  )
  const value: UpstreamConfig = {
    path,
    url: read('url', parse.web({ example: 'https://tools.example.com/mcp' }), true) ?? '',
    name: read('name', nameOf) ?? path.slice(path.lastIndexOf('/') + 1),
    headers,
    requiredScopes: check(
      'requiredScopes',
      isScopes,
      [],
      'must be a list of scopes without spaces, quotes or backslashes',
    ),
    rateLimit: read('rateLimit', parse.rateLimitValue),
    quota,
    assertion: asserted === true ? [...ASSERTED_CLAIMS] : asserted === false ? undefined : asserted,
    timeoutSeconds: check(
      'timeoutSeconds',
      isSeconds,
      undefined,
      'must be a whole number of seconds, such as 60',
    ),
  }
  return {
    value,
    faults: [...faults, ...headersFaults, ...quotaFaults(quota).map((fault) => `quota: ${fault}`)],
  }
}

const pathOf = (text: string): parse.Parsed<string> => {
  if (!PATH.test(text) || text.includes('/.'))
    return { fault: 'is no plain path: give one such as /mcp/github' }
  return OWN_PATHS.test(text)
    ? { fault: `is this server's own: give one such as /mcp/github` }
    : { value: text }
}
const nameOf = (text: string): parse.Parsed<string> =>
  NAME.test(text)
    ? { value: text }
    : { fault: 'must be 1 to 40 letters, digits, dots, dashes or underscores' }
const isScopes = (value: unknown): value is string[] =>
  isTexts(value) && value.every((scope) => SCOPE.test(scope))
const isAssertion = (value: unknown): value is boolean | AssertedClaim[] | undefined =>
  typeof value === 'boolean' ||
  (isTexts(value) && value.every((claim) => (ASSERTED_CLAIMS as readonly string[]).includes(claim)))
const isSeconds = (value: unknown): value is number | undefined =>
  Number.isSafeInteger(value) && Number(value) > 0 && Number(value) < 2 ** 21

/** Entries of which there may be one. */
function repeated(upstreams: UpstreamConfig[], field: 'path' | 'name'): string[] {
  const values = upstreams.map((upstream) => upstream[field])
  const twice = new Set(values.filter((value, index) => value !== '' && values.indexOf(value) < index))
  return [...twice].map((value) => `has ${field} ${value} twice: give each server its own`)
}

/**
 * Reads the list of upstream servers.
 * @param text JSON.
 * @param env for the secrets that headers name.
 * @returns the servers, and every fault at once, each with its remedy and without a secret.
 */
export function readUpstreams(text: string, env: Environment): { value: UpstreamConfig[]; faults: string[] } {
  let list: unknown
  try {
    list = JSON.parse(text)
  } catch {
    // What the parser says quotes the text, which may hold a secret.
    return {
      value: [],
      faults: ['is no JSON: give a list such as [{ "path": "/mcp/tools", "url": "https://…" }]'],
    }
  }
  if (!Array.isArray(list) || list.length === 0) {
    return {
      value: [],
      faults: ['is no list of servers: give at least [{ "path": "/mcp/tools", "url": "https://…" }]'],
    }
  }
  const read = (list as unknown[]).map((given) => readUpstream(given, env))
  const value = read.map((one) => one.value)
  const faults = read.flatMap((one, index) => one.faults.map((fault) => `server ${index + 1}: ${fault}`))
  return { value, faults: [...faults, ...repeated(value, 'path'), ...repeated(value, 'name')] }
}
