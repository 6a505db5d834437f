import { Hono } from 'hono'
import { cors } from 'hono/cors'
import { METADATA_PATH, metadataUrl } from './challenge.ts'
import { secureUrlFault, urlFault } from './token-options.ts'

/** A part of the options of `mcpUserContext()`: the same object will do for both. */
export interface McpMetadataOptions {
  /** Canonical URL of the endpoint, exactly as clients know it. */
  resource: string
  /** Its `issuer` is the authorization server, unless others are named. */
  tokens: { issuer: string } | { verify: (token: string) => unknown }
  /** Where clients get tokens: issuer URLs (RFC 8414). @default [tokens.issuer] */
  authorizationServers?: readonly string[] | undefined
  /** The scopes clients may ask for. @default requiredScopes */
  scopesSupported?: readonly string[] | undefined
  requiredScopes?: readonly string[] | undefined
  /** Name of the resource, for people. */
  resourceName?: string | undefined
  /** Whether the metadata stands at the root too; of several resources of one origin one can. @default true */
  atRoot?: boolean | undefined
}

const MAX_AGE_SECONDS = 3600

const optionFaults = (resource: string, servers: readonly string[]): string[] => {
  const fault = urlFault(resource)
  const faults = fault === null ? [] : [`resource ${fault}`]
  if (servers.length === 0) {
    // RFC 9728 leaves it open, MCP (2025-11-25 basic/authorization) does not.
    faults.push('authorizationServers is missing: name at least one issuer where clients get their tokens')
  }
  for (const server of servers) {
    const serverFault = secureUrlFault(server)
    if (serverFault === null) continue
    faults.push(
      `authorization server ${JSON.stringify(server)} ${serverFault}: name the right one in authorizationServers`,
    )
  }
  return faults
}

/**
 * The protected-resource metadata of RFC 9728, from which MCP clients learn where to get a token. It lies outside
 * the endpoint, so it is mounted at the root.
 * @param options those of `mcpUserContext()` will do.
 * @returns a Hono app with the two well-known routes, open to everybody.
 * @throws TypeError at creation, naming every fault of the options at once.
 * @example app.route('/', mcpMetadata(options))
 */
export function mcpMetadata(options: McpMetadataOptions): Hono {
  const { resource, tokens, scopesSupported = options.requiredScopes ?? [], resourceName } = options
  const servers = options.authorizationServers ?? ('issuer' in tokens ? [tokens.issuer] : [])
  const faults = optionFaults(resource, servers)
  if (faults.length > 0) throw new TypeError(`mcpMetadata: ${faults.join('; ')}`)
  const document = {
    // As given: RFC 9728 section 3.3 has clients compare it letter by letter.
    resource,
    authorization_servers: servers,
    bearer_methods_supported: ['header'],
    ...(scopesSupported.length === 0 ? {} : { scopes_supported: scopesSupported }),
    ...(resourceName === undefined ? {} : { resource_name: resourceName }),
  }
  const app = new Hono()
  // Clients look at the path of the resource first, and then at the root.
  // Hono matches decoded paths.
  const own = decodeURI(new URL(metadataUrl(resource)).pathname)
  for (const path of options.atRoot === false ? [own] : new Set([METADATA_PATH, own])) {
    // Public, and read by clients in browsers, which send MCP-Protocol-Version with it: any header is let through.
    app.use(path, cors({ origin: '*', allowMethods: ['GET', 'HEAD', 'OPTIONS'], maxAge: MAX_AGE_SECONDS }))
    app.get(path, (c) => c.json(document, 200, { 'cache-control': `public, max-age=${MAX_AGE_SECONDS}` }))
  }
  return app
}
