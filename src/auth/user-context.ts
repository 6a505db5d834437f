import type { MiddlewareHandler } from 'hono'
import { resolveSql, type SqlSource } from '../db/client.ts'
import { mcpRefusal, problem } from '../errors.ts'
import type { UserVariables } from '../variables.ts'
import { createAuthenticator, type AuthenticatorOptions } from './authenticator.ts'

/** Whose tokens count, for which resource, and how a refusal is written. */
export interface UserContextOptions extends AuthenticatorOptions {
  /** How a refusal is written: a JSON-RPC error, or RFC 9457 problem details for a REST route. @default 'jsonrpc' */
  refuse?: 'jsonrpc' | 'problem' | undefined
  /** Where personal access tokens are kept; every request asks. @default none are taken */
  sql?: SqlSource | undefined
}

/**
 * Tells who is calling: verifies the bearer token and sets `c.var.user`, `c.var.auth` (the SDKs' `AuthInfo`) and
 * `c.var.caller`. Without a good token it answers 401 with a challenge by which MCP clients find the sign-in
 * (RFC 6750 section 3, RFC 9728 section 5.1), and 503 while tokens cannot be verified.
 * @throws TypeError at creation, naming every fault of the options at once.
 * @example
 * ```ts
 * const app = new Hono().use(
 *   userContext({
 *     tokens: { secret: process.env.SUPABASE_JWT_SECRET, issuer: 'https://x.supabase.co/auth/v1', audience: 'authenticated' },
 *     resource: 'https://example.com/mcp',
 *   }),
 * )
 * app.get('/hello', (c) => c.text(`Hello ${c.var.user?.name}`))
 * ```
 */
export const userContext = (options: UserContextOptions): MiddlewareHandler<{ Variables: UserVariables }> => {
  const authenticate = createAuthenticator(options)
  const { sql } = options
  const respond = options.refuse === 'problem' ? problem : mcpRefusal
  return async function userContext(c, next) {
    const accessTokens = sql === undefined ? null : { sql: resolveSql(sql, c), judgedAgain: false }
    const result = await authenticate(c.req.raw.headers, accessTokens)
    if (!result.ok) return respond(result.refusal)
    c.set('user', result.variables.user)
    c.set('auth', result.variables.auth)
    c.set('caller', result.variables.caller)
    return next()
  }
}
