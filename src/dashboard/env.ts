import type { AuthenticatorOptions } from '../auth/authenticator.ts'
import type { SqlSource } from '../db/client.ts'
import type { UserVariables } from '../variables.ts'
import type { Visit } from './sign-in/visit.ts'

/** The OpenID provider where people sign in: authorization code with PKCE. */
export interface OidcOptions {
  /** Its URL, as its discovery document and its tokens have it. */
  issuer: string
  clientId: string
  clientSecret: string
  /** @default 'openid profile email' */
  scope?: string | undefined
}

/** Somebody whom one click signs in: for trials alone. */
export interface SampleUser {
  name: string
  role: string
  token: string
}

/** What `dashboard()` needs: the options of `mcpUserContext()` and a key for its cookie. */
export interface DashboardOptions extends AuthenticatorOptions {
  /** One pool on Node and Bun; on Workers a function that gives the client of the request. */
  sql: SqlSource
  /**
   * Where reports are read: a replica of the same database, with the same login. Who is calling, and what they change,
   * stays with `sql`.
   * @default sql
   */
  reportsSql?: SqlSource | undefined
  /** Encrypts the cookie of whoever is signed in: at least 32 bytes, the same on every instance. */
  cookieKey: string
  /** Where people sign in. @default nowhere: they paste a token */
  oidc?: OidcOptions | undefined
  /** Whom one click signs in. Never give any on a server with real data. @default [] */
  sampleUsers?: readonly SampleUser[] | undefined
  /** Ends what open pages listen to, so that a server which stops need not wait. @default it ends within minutes */
  stopping?: AbortSignal | undefined
}

/** What every page finds in `c.var`. */
export interface DashboardEnv {
  Variables: UserVariables & {
    /** The path at which the dashboard is mounted, without a slash at its end. */
    base: string
    visit: Visit
    /** What every form must send back. */
    formKey: string
    /** The moment at which the page is made. */
    now: Date
  }
}
