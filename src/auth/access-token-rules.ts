import type { Role } from '../variables.ts'
import type { AccessTokenOwner } from './access-tokens.ts'

/** Who wants to make an access token, or to end one. */
export interface AccessTokenAsker {
  role: Role
  /** Null for a program. */
  userId: string | null
  /** Those of the token with which they came. */
  scopes: readonly string[]
  /** The id of the access token of ours with which they came. */
  accessToken?: string | undefined
}

/** What they want it to be. */
export interface WantedAccessToken {
  /** Left out for oneself. */
  service?: string | undefined
  /** @default all that the asker has */
  scopes?: readonly string[] | undefined
}

/**
 * `by_access_token`: those make no others; `for_service`: those who administer make them; `for_nobody`: a program must
 * say for which service; `beyond_own_scopes`: more than the asker may do.
 */
export type AccessTokenRefusal = 'by_access_token' | 'for_service' | 'for_nobody' | 'beyond_own_scopes'

const administers = ({ role }: AccessTokenAsker): boolean => role === 'admin' || role === 'service'

/** Whose token somebody may make, and with which scopes; or why not. */
export function allowedAccessToken(
  asker: AccessTokenAsker,
  { service, scopes = asker.scopes }: WantedAccessToken,
): { owner: AccessTokenOwner; scopes: readonly string[] } | { refused: AccessTokenRefusal } {
  const { userId, accessToken } = asker
  if (accessToken !== undefined) return { refused: 'by_access_token' }
  if (service !== undefined && !administers(asker)) return { refused: 'for_service' }
  if (!administers(asker) && !scopes.every((scope) => asker.scopes.includes(scope)))
    return { refused: 'beyond_own_scopes' }
  if (service !== undefined) return { owner: { service }, scopes }
  return userId === null ? { refused: 'for_nobody' } : { owner: { userId }, scopes }
}

/** Whose tokens somebody may end: a user's id, or null for everybody's. */
export const endsAccessTokensOf = (asker: AccessTokenAsker): string | null =>
  administers(asker) ? null : asker.userId
