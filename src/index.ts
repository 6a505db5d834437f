export { mcpApi, type McpApiOptions } from './api/mcp-api.ts'
export { AuthUnavailableError, InvalidTokenError } from './auth/token-errors.ts'
export { browserGuard, type BrowserGuardOptions } from './auth/origin.ts'
export { mcpMetadata, type McpMetadataOptions } from './auth/mcp-metadata.ts'
export type { JwtOptions, TokenOptions, TokenVerifier, VerifyOptions } from './auth/token-options.ts'
export { createTokenVerifier } from './auth/tokens.ts'
export { userContext, type UserContextOptions } from './auth/user-context.ts'
export type { Sql, SqlSource } from './db/client.ts'
export type { OnLimit } from './limit-answer.ts'
export type { QuotaRule, ToolRule } from './limits/quota-rule.ts'
export { rateLimit, type RateLimitOptions } from './limits/rate-limit.ts'
export type { RateLimitRule } from './limits/rate-rule.ts'
export { mcpUserContext, type McpUserContextOptions } from './mcp-user-context.ts'
export type { ClientType } from './mcp/client-type.ts'
export { proxyMcp, type ProxyMcpOptions } from './mcp/proxy.ts'
export type { UpstreamFault, UpstreamReason } from './mcp/upstream-fault.ts'
export { type AssertedClaim, assertionKeys, type UserAssertionOptions } from './mcp/user-assertion.ts'
export { type McpHandler, serveMcp } from './mcp/serve-mcp.ts'
export { quota, type QuotaOptions } from './quota.ts'
export type { McpCall } from './reports/calls.ts'
export type { McpClient } from './reports/clients.ts'
export type { McpSession } from './reports/session.ts'
export type { DisconnectReason, SessionRules } from './sessions/life-cycle.ts'
export {
  type CreateSession,
  createSessionManager,
  type SessionManager,
  type SweepResult,
} from './sessions/session-manager.ts'
export type { SessionOwner } from './sessions/session-row.ts'
export { session, type SessionOptions } from './sessions/session.ts'
export type { TokenCounter } from './usage/count.ts'
export { meter, type MeterOptions } from './usage/meter.ts'
export type {
  AuthInfo,
  Claims,
  McpVariables,
  Role,
  UsageReport,
  UsageReporter,
  UserContext,
} from './variables.ts'
