import type { Sql } from '../db/client.ts'
import { DatabaseUnavailableError, patiently } from '../db/outage.ts'
import { databaseUnavailable, type Refusal } from '../errors.ts'
import type { Claims } from '../variables.ts'
import { isAccessToken } from './access-token-text.ts'
import { findAccessToken, type FoundAccessToken } from './access-tokens.ts'
import { freezeDeep, type Verdict } from './verdict.ts'

const refused = (detail: string): { refusal: Refusal } => ({ refusal: { code: 'invalid_token', detail } })

const seconds = (moment: Date): number => moment.getTime() / 1000

/** The claims that a JWT of the same bearer would have: `jti` is the id of the token. */
const claimsOf = ({ id, user, scopes, createdAt, expiresAt }: FoundAccessToken): Claims => ({
  ...(user === null ? { role: 'service_role' } : { iss: user.issuer, sub: user.subject }),
  jti: id,
  iat: Math.floor(seconds(createdAt)),
  exp: Math.floor(seconds(expiresAt)),
  scope: scopes.join(' '),
})

function verdictOf(found: FoundAccessToken): Verdict {
  const { id, user, scopes, createdAt } = found
  const claims = claimsOf(found)
  const common = { accessToken: id, scopes, claims, issuedAtMs: createdAt.getTime() }
  if (user === null) return freezeDeep({ ...common, kind: 'service', user: null, identity: null })
  const { refused: _, id: userId, issuer, subject, ...profile } = user
  return freezeDeep({
    ...common,
    kind: 'user',
    user: { id: userId, ...profile, scopes, issuer, subject, claims },
    identity: { issuer, subject, firstId: userId, fallbackId: userId, ...profile },
  })
}

/**
 * What an access token of ours means, by the database.
 * @returns a verdict like that of a JWT; its role, department and cut-off are those of the moment.
 */
export async function judgeAccessToken(
  sql: Sql,
  token: string,
): Promise<{ verdict: Verdict } | { refusal: Refusal }> {
  // Before the database is asked: anybody can make up a text.
  if (!isAccessToken(token)) return refused('The token is malformed.')
  try {
    const found = await patiently(() => findAccessToken(sql, token))
    if (found === null) return refused('The token is unknown, expired or revoked.')
    if (found.user?.refused === 'blocked') return { refusal: { code: 'blocked' } }
    if (found.user?.refused === 'invalid_token') return refused('The token is unknown, expired or revoked.')
    return { verdict: verdictOf(found) }
  } catch (error) {
    if (!(error instanceof DatabaseUnavailableError)) throw error
    return { refusal: databaseUnavailable(error) }
  }
}
