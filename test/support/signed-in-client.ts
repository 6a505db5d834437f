import {
  Client,
  type OAuthClientProvider,
  type OAuthDiscoveryState,
  type StoredOAuthClientInformation,
  type StoredOAuthTokens,
  StreamableHTTPClientTransport,
  UnauthorizedError,
} from '@modelcontextprotocol/client'

/** Opens an address as a browser would and lets a person sign in. @returns the address that the client is called at */
export type Browser = (address: URL) => Promise<URL>

/** The official client, which knows nothing but the endpoint, and what it learned on its way. */
export interface SignedInClient extends AsyncDisposable {
  client: Client
  tokens(): StoredOAuthTokens | undefined
  information(): StoredOAuthClientInformation | undefined
  /** The addresses at which somebody was asked to sign in. */
  asked: URL[]
  /** Does something that may need a sign-in first. */
  do<T>(what: () => Promise<T>): Promise<T>
}

/** Where the client would listen. */
export const REDIRECT = 'http://127.0.0.1:53682/callback'

/** Connects the official client to an endpoint; the browser is asked whenever it says that somebody must sign in. */
export async function signIn(
  url: URL,
  browser: Browser,
  { redirectUrl = REDIRECT, mode = 'legacy' }: { redirectUrl?: string; mode?: 'legacy' | 'auto' } = {},
): Promise<SignedInClient> {
  const asked: URL[] = []
  let information: StoredOAuthClientInformation | undefined
  let tokens: StoredOAuthTokens | undefined
  let discovered: OAuthDiscoveryState | undefined
  let verifier = ''
  const provider: OAuthClientProvider = {
    redirectUrl,
    clientMetadata: {
      client_name: 'A test <client>',
      redirect_uris: [redirectUrl],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    },
    clientInformation: () => information,
    saveClientInformation: (saved) => void (information = saved),
    tokens: () => tokens,
    saveTokens: (saved) => void (tokens = saved),
    saveDiscoveryState: (saved) => void (discovered = saved),
    discoveryState: () => discovered,
    saveCodeVerifier: (saved) => void (verifier = saved),
    codeVerifier: () => verifier,
    redirectToAuthorization: (address) => void asked.push(address),
  }
  const connect = () => new StreamableHTTPClientTransport(url, { authProvider: provider })
  let transport = connect()
  const finish = async (): Promise<void> => {
    const called = await browser(asked.at(-1)!)
    await transport.finishAuth(called.searchParams)
  }

  const client = new Client({ name: 'Claude Code', version: '1.0.0' }, { versionNegotiation: { mode } })
  try {
    await client.connect(transport)
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error
    await finish()
    // A transport that was started cannot start again.
    transport = connect()
    await client.connect(transport)
  }
  return {
    client,
    asked,
    tokens: () => tokens,
    information: () => information,
    async do(what) {
      try {
        return await what()
      } catch (error) {
        if (!(error instanceof UnauthorizedError)) throw error
        await finish()
        return await what()
      }
    },
    [Symbol.asyncDispose]: () => client.close(),
  }
}
