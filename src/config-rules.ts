import { isLoopback } from './auth/token-options.ts'
import { inUrl } from './config-values.ts'

/** What decides which variables must be there. */
export interface Situation {
  isSet: (name: string) => boolean
  production: boolean
  worker: boolean
  host: string
  /** Some upstream server is to be told who is calling. */
  asserted: boolean
}

const OIDC = ['OIDC_ISSUER', 'OIDC_CLIENT_ID', 'OIDC_CLIENT_SECRET']
const UPSTREAMS = ['UPSTREAMS', 'UPSTREAMS_FILE']
const TOKEN_KEYS = ['SUPABASE_JWT_SECRET', 'JWKS_URL']

const REMEDIES = {
  DATABASE_URL: 'give postgres://USER:PASSWORD@HOST:5432/DATABASE',
  JWT_ISSUER: 'give the one accepted iss of the tokens, such as https://id.example.com',
  PUBLIC_URL: 'give the URL that clients use, such as https://mcp.example.com/mcp',
  UPSTREAM_MCP_URL: 'give the URL of the MCP server to govern, or several in UPSTREAMS_FILE',
  ASSERTION_KEYS: 'give a private EC key on P-256 as a JWK (README), or no assertion',
  COOKIE_KEY: 'give at least 32 bytes, such as from openssl rand -base64 48',
}

/** The variables that are missing, or that make no sense without another: a line each. */
export function relationFaults({ isSet, production, worker, host, asserted }: Situation): string[] {
  const faults: string[] = []
  const demand = (name: keyof typeof REMEDIES, reason: string): void => {
    if (!isSet(name)) faults.push(`${name} is not set${reason}: ${REMEDIES[name]}`)
  }

  const tokensGiven = TOKEN_KEYS.some(isSet)
  if (production || worker) {
    const reason = production ? ', and production takes no trial part' : ', and a Worker has no trial of it'
    demand('DATABASE_URL', reason)
    if (!tokensGiven) faults.push(`${TOKEN_KEYS.join(' or ')} is not set${reason}: give one of them, or both`)
    demand('JWT_ISSUER', tokensGiven ? ` beside ${TOKEN_KEYS.filter(isSet).join(' and ')}` : reason)
    demand('PUBLIC_URL', reason)
    if (asserted) demand('ASSERTION_KEYS', reason)
    if (production) {
      if (!UPSTREAMS.some(isSet)) demand('UPSTREAM_MCP_URL', reason)
      demand('COOKIE_KEY', ', and production makes none for the dashboard')
    }
  } else {
    if (tokensGiven) demand('JWT_ISSUER', ` beside ${TOKEN_KEYS.filter(isSet).join(' and ')}`)
    for (const name of tokensGiven ? [] : ['JWT_ISSUER', 'JWT_AUDIENCE'].filter(isSet)) {
      faults.push(`${name} is set without ${TOKEN_KEYS.join(' or ')}: set one of these too, or unset ${name}`)
    }
    // The URL made of HOST would be plain http to another machine, or no address at all (0.0.0.0).
    if (!isLoopback(inUrl(host))) demand('PUBLIC_URL', `, and HOST ${host} is open to other machines`)
  }

  const oidc = OIDC.filter(isSet)
  if (oidc.length === 0) return faults
  const missing = OIDC.filter((name) => !isSet(name))
  if (worker && !production) demand('COOKIE_KEY', ` beside ${oidc.join(', ')}`)
  return [
    ...faults,
    ...missing.map((name) => `${name} is not set beside ${oidc.join(', ')}: set all three, or none`),
  ]
}
