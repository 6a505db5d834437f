import type { MiddlewareHandler } from 'hono'
import { cors } from 'hono/cors'
import { mcpRefusal, problem } from '../errors.ts'
import { isLoopback, parseUrl, urlFault } from './token-options.ts'

/** Which web pages, and which names of this server, are let in. */
export interface BrowserGuardOptions {
  /** Canonical URL of the endpoint. Its own origin and hostname are always allowed. */
  resource: string
  /** Browser origins that may call, such as `https://app.example.com`. @default any of localhost, if the resource is there; else none */
  allowedOrigins?: readonly string[] | undefined
  /** Further hostnames under which the server is reached, without port. @default [] */
  allowedHosts?: readonly string[] | undefined
  /** Methods that pages may use. @default GET, POST, DELETE and OPTIONS, those of the MCP endpoint */
  methods?: readonly string[] | undefined
  /** How a refusal is written: a JSON-RPC error, or RFC 9457 problem details for a REST route. @default 'jsonrpc' */
  refuse?: 'jsonrpc' | 'problem' | undefined
}

const ALLOW_METHODS = ['GET', 'POST', 'DELETE', 'OPTIONS']
const ALLOW_HEADERS = [
  'Authorization',
  'Content-Type',
  'Accept',
  'Last-Event-ID',
  'Mcp-Session-Id',
  'MCP-Protocol-Version',
  'Mcp-Method',
  'Mcp-Name',
]
const EXPOSE_HEADERS = [
  'Mcp-Session-Id',
  'WWW-Authenticate',
  'Retry-After',
  'RateLimit',
  'RateLimit-Policy',
  'X-Request-Id',
]
const PREFLIGHT_MAX_AGE_SECONDS = 600

/** RFC 6454 section 6.2, in one spelling; null for what is no origin, `null` itself included. */
const originOf = (value: string): string | null => {
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@\\,]+$/i.test(value)) return null
  // URL.origin is 'null' for the schemes of extensions and desktop apps: those are compared as they are.
  return /^https?:/i.test(value) ? (parseUrl(value)?.origin ?? null) : value.toLowerCase()
}

/** The hostname of a Host header, as `URL.hostname` writes it; null for anything but a host and a port. */
const hostnameOf = (host: string): string | null =>
  /^(\[[0-9a-f:.]+\]|[^\s/?#@\\:,[\]]+)(:\d*)?$/i.test(host)
    ? (parseUrl(`http://${host}`)?.hostname ?? null)
    : null

const optionFaults = ({
  resource,
  allowedOrigins = [],
  allowedHosts = [],
}: BrowserGuardOptions): string[] => {
  const fault = urlFault(resource)
  const origins = allowedOrigins.filter((origin) => originOf(origin) === null)
  const hosts = allowedHosts.filter((host) => hostnameOf(host) === null || /:\d*$/.test(host))
  return [
    ...(fault === null ? [] : [`resource ${fault}`]),
    ...origins.map(
      (origin) =>
        `allowedOrigins: ${JSON.stringify(origin)} is no origin; write https://host or https://host:port`,
    ),
    ...hosts.map(
      (host) => `allowedHosts: ${JSON.stringify(host)} is no hostname; write it without scheme and port`,
    ),
  ]
}

/** Names of `Mcp-Param-*` headers a preflight asks for: they follow the tools, so no list could hold them. */
const requestedParams = (header: string | undefined): string[] =>
  (header ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => /^mcp-param-[\w.-]{1,100}$/i.test(name))

/** CORS for an origin that was found allowed. */
const crossOrigin = (methods: readonly string[], params: string[]) =>
  cors({
    origin: (origin) => origin,
    allowMethods: [...methods],
    allowHeaders: [...ALLOW_HEADERS, ...params],
    exposeHeaders: EXPOSE_HEADERS,
    maxAge: PREFLIGHT_MAX_AGE_SECONDS,
  })

/**
 * Keeps other people's web pages out (2025-11-25 basic/transports, Security Warning): a page that had its own name
 * rebound to this server's address is known by its Host, any other by its Origin. Programs send no Origin and pass.
 * Allowed origins get CORS headers on every answer, refusals too, and preflights are answered here, before any
 * token is asked for: so mount it first.
 * @returns middleware; it answers 403 to what it keeps out, and 204 to a preflight.
 * @throws TypeError at creation, naming every fault of the options at once.
 * @example app.use('/mcp', browserGuard({ resource: 'https://example.com/mcp', allowedOrigins: ['https://app.example.com'] }))
 */
export const browserGuard = (options: BrowserGuardOptions): MiddlewareHandler => {
  const faults = optionFaults(options)
  if (faults.length > 0) throw new TypeError(`browserGuard: ${faults.join('; ')}`)
  const own = new URL(options.resource)
  const hosts = new Set([own.hostname, ...(options.allowedHosts ?? []).map(hostnameOf)])
  const origins = new Set([own.origin, ...(options.allowedOrigins ?? []).map(originOf)])
  const anyLocalhost = options.allowedOrigins === undefined && isLoopback(own.hostname)

  const hostAllowed = (host: string): boolean => {
    const hostname = hostnameOf(host)
    return hostname !== null && (hosts.has(hostname) || isLoopback(hostname))
  }
  const originAllowed = (value: string): boolean => {
    const origin = originOf(value)
    if (origin === null) return false
    return (
      origins.has(origin) || (anyLocalhost && /^https?:/.test(origin) && isLoopback(new URL(origin).hostname))
    )
  }
  const { methods = ALLOW_METHODS } = options
  const respond = options.refuse === 'problem' ? problem : mcpRefusal
  const plain = crossOrigin(methods, [])

  return async function browserGuard(c, next) {
    // HTTP/2 has :authority instead of Host; the runtime makes the URL of it.
    if (!hostAllowed(c.req.header('host') ?? new URL(c.req.url).host))
      return respond({ code: 'host_not_allowed' })
    const origin = c.req.header('origin')
    if (origin !== undefined && !originAllowed(origin)) {
      return respond({ code: 'origin_not_allowed', headers: { vary: 'Origin' } })
    }
    if (c.req.method === 'OPTIONS') {
      return crossOrigin(methods, requestedParams(c.req.header('access-control-request-headers')))(c, next)
    }
    // Without an Origin nothing is added: an answer to a bearer token is in no shared cache (RFC 9111 section 3.5).
    if (origin === undefined) return next()
    return plain(c, next)
  }
}
