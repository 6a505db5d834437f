import * as oauth from 'oauth4webapi'
import type { Claims } from '../../variables.ts'
import type { OidcOptions } from '../env.ts'

/** What a provider gave: tokens, and the claims of the ID token. */
export interface ProviderTokens {
  accessToken: string
  claims: Claims | undefined
  /** The text of the ID token, which tells the provider at the end who leaves. */
  idToken: string | undefined
  refreshToken: string | undefined
  /** Seconds for which they are good; undefined where the provider does not say. */
  expiresIn: number | undefined
}

/** What a sign-in keeps between its two halves, and where the provider sends people back to. */
export interface CodeRequest {
  redirectUri: string
  state: string
  nonce: string
  verifier: string
}

/** The OpenID provider: authorization code with PKCE (RFC 7636), and refresh. */
export interface Provider {
  /** Where to send somebody who signs in. */
  authorizationUrl(request: CodeRequest): Promise<URL>
  /**
   * Takes them back.
   * @returns null for an answer that is none to this request, or that says no.
   */
  exchange(callback: URL, request: CodeRequest): Promise<ProviderTokens | null>
  /** @returns null when the provider gives no more. */
  refresh(refreshToken: string): Promise<ProviderTokens | null>
  /**
   * Where to send somebody who signs out, so that the provider's session ends too (RP-Initiated Logout 1.0).
   * @returns null for a provider that has no such place.
   */
  signOutUrl(request: SignOutRequest): Promise<URL | null>
}

/** What the provider is told of somebody who leaves, and where it sends them back to. */
export interface SignOutRequest {
  idToken: string | undefined
  redirectUri: string
  state: string
}

const METADATA_SECONDS = 600

/** Of an ID token, what is of that token alone and not of its user. */
const OF_THE_TOKEN = new Set([
  'exp',
  'nbf',
  'aud',
  'azp',
  'nonce',
  'at_hash',
  'c_hash',
  's_hash',
  'sid',
  'jti',
])

/** Whether the provider, or what came back from it, said no; anything else is a fault. */
const isNo = (error: unknown): boolean =>
  error instanceof oauth.AuthorizationResponseError ||
  error instanceof oauth.ResponseBodyError ||
  error instanceof oauth.WWWAuthenticateChallengeError ||
  error instanceof oauth.OperationProcessingError

async function orNull<T>(attempt: () => Promise<T>): Promise<T | null> {
  try {
    return await attempt()
  } catch (error) {
    if (!isNo(error)) throw error
    console.error(`mcp-user-context: sign-in: ${error instanceof Error ? error.message : 'refused'}`)
    return null
  }
}

function tokensOf(result: oauth.TokenEndpointResponse): ProviderTokens {
  const told = oauth.getValidatedIdTokenClaims(result)
  const claims =
    told && (Object.fromEntries(Object.entries(told).filter(([name]) => !OF_THE_TOKEN.has(name))) as Claims)
  return {
    accessToken: result.access_token,
    claims,
    idToken: result.id_token,
    refreshToken: result.refresh_token,
    expiresIn: result.expires_in,
  }
}

/** Speaks with the provider. Its metadata are kept for ten minutes; http is for one on this machine. */
export function createProvider(
  { issuer, clientId, clientSecret, scope = 'openid profile email' }: OidcOptions,
  now: () => Date,
): Provider {
  const client: oauth.Client = { client_id: clientId }
  const { protocol } = new URL(issuer)
  const requests = { [oauth.allowInsecureRequests]: protocol === 'http:' }
  const isWeb = (address: string): boolean => ['https:', protocol].includes(new URL(address).protocol)
  let known: { at: number; server: Promise<oauth.AuthorizationServer> } | undefined

  const discover = async (): Promise<oauth.AuthorizationServer> => {
    const url = new URL(issuer)
    return await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, requests))
  }
  const serverOf = async (): Promise<oauth.AuthorizationServer> => {
    if (known === undefined || now().getTime() - known.at > METADATA_SECONDS * 1000) {
      known = { at: now().getTime(), server: discover() }
    }
    try {
      return await known.server
    } catch (error) {
      known = undefined
      throw error
    }
  }
  const authentication = ({ token_endpoint_auth_methods_supported: methods }: oauth.AuthorizationServer) =>
    // Basic is what holds where a provider says nothing (OpenID Connect Discovery 1.0 section 3).
    methods?.includes('client_secret_basic') === false
      ? oauth.ClientSecretPost(clientSecret)
      : oauth.ClientSecretBasic(clientSecret)

  return {
    async authorizationUrl({ redirectUri, state, nonce, verifier }) {
      const { authorization_endpoint: endpoint } = await serverOf()
      if (endpoint === undefined) throw new Error('The provider names no authorization_endpoint')
      const url = new URL(endpoint)
      const parameters = {
        client_id: clientId,
        redirect_uri: redirectUri,
        response_type: 'code',
        scope,
        state,
        nonce,
        code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
      }
      for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
      return url
    },
    async exchange(callback, { redirectUri, state, nonce, verifier }) {
      const server = await serverOf()
      return await orNull(async () => {
        const answer = oauth.validateAuthResponse(server, client, callback, state)
        const response = await oauth.authorizationCodeGrantRequest(
          server,
          client,
          authentication(server),
          answer,
          redirectUri,
          verifier,
          requests,
        )
        // The ID token comes from the provider itself, over TLS: that stands for its signature (Core 1.0 section 3.1.3.7).
        const expected = { expectedNonce: nonce, requireIdToken: true }
        return tokensOf(await oauth.processAuthorizationCodeResponse(server, client, response, expected))
      })
    },
    async refresh(refreshToken) {
      const server = await serverOf()
      return await orNull(async () => {
        const secret = authentication(server)
        const response = await oauth.refreshTokenGrantRequest(server, client, secret, refreshToken, requests)
        return tokensOf(await oauth.processRefreshTokenResponse(server, client, response))
      })
    },
    async signOutUrl({ idToken, redirectUri, state }) {
      const { end_session_endpoint: endpoint } = await serverOf()
      if (endpoint === undefined || !isWeb(endpoint)) return null
      const url = new URL(endpoint)
      if (idToken !== undefined) url.searchParams.set('id_token_hint', idToken)
      url.searchParams.set('client_id', clientId)
      url.searchParams.set('post_logout_redirect_uri', redirectUri)
      url.searchParams.set('state', state)
      return url
    },
  }
}

/** What nobody can guess, for one sign-in. */
export const newCodeRequest = (redirectUri: string): CodeRequest => ({
  redirectUri,
  state: oauth.generateRandomState(),
  nonce: oauth.generateRandomNonce(),
  verifier: oauth.generateRandomCodeVerifier(),
})
