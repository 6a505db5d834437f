import type { Claims, Role } from '../variables.ts'

/** Where department and role stand in the claims: the name of a claim, or a dotted path. */
export interface ClaimPaths {
  department: string
  role: string
}

/** Supabase's places. `user_metadata` is never one: users can edit it. */
export const DEFAULT_CLAIM_PATHS: ClaimPaths = {
  department: 'app_metadata.department',
  role: 'app_metadata.role',
}

/** What a set of claims says of its bearer. A service is a program: it has no user behind it. */
export type Bearer =
  | ({ kind: 'user'; subject: string } & Profile)
  | ({ kind: 'service'; subject: null } & Profile)

export interface Profile {
  email: string | null
  name: string | null
  department: string | null
  role: Role
  scopes: string[]
}

/** The width of the columns, and the longest subject that OpenID Connect Core section 2 allows. */
const MAX_LENGTH = 255

// Not 'service': a program is known by the top-level role alone.
const USER_ROLES: readonly Role[] = ['member', 'manager', 'finance', 'admin']

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Whether a value can name somebody: stored as it is, so Postgres must be able to hold it (no NUL, no half of a pair). */
export const isIdentifier = (value: unknown): value is string =>
  typeof value === 'string' &&
  value.trim() !== '' &&
  value.length <= MAX_LENGTH &&
  !/[\p{Cc}\p{Cs}]/u.test(value)

/** Text for people: control characters and halves of pairs out, trimmed, cut at the width of the column. */
const label = (value: unknown): string | null => {
  if (typeof value !== 'string') return null
  const clean = value.replaceAll(/[\p{Cc}\p{Cs}]/gu, '').trim()
  if (clean === '') return null
  // Cut between characters: half an emoji is no text to Postgres.
  return clean.length <= MAX_LENGTH ? clean : Array.from(clean).slice(0, MAX_LENGTH).join('').trim()
}

/** A cut address would be somebody else's, so one that is too long is none. */
const address = (value: unknown): string | null => (isIdentifier(value) ? label(value) : null)

/** A claim by its exact name (`https://example.com/department`), else by its dotted path. Own members only. */
const claimAt = (claims: Claims, path: string): unknown => {
  if (Object.hasOwn(claims, path)) return claims[path]
  let value: unknown = claims
  for (const step of path.split('.')) {
    if (!isRecord(value) || !Object.hasOwn(value, step)) return undefined
    value = value[step]
  }
  return value
}

const roleOf = (value: unknown): Role => USER_ROLES.find((role) => role === value) ?? 'member'

/** `scope` as RFC 8693 section 4.2 has it, or `scp` as Entra ID and Okta write it. */
const scopesOf = ({ scope, scp }: Claims): string[] => {
  const value = scope ?? scp
  const words = Array.isArray(value) ? value : typeof value === 'string' ? value.split(' ') : []
  const scopes = words.filter((word): word is string => typeof word === 'string' && word !== '')
  return [...new Set(scopes)]
}

/**
 * Reads who bears a verified token.
 * @returns null where the claims name nobody: a user token without a usable `sub`.
 */
export function readClaims(claims: Claims, paths: ClaimPaths = DEFAULT_CLAIM_PATHS): Bearer | null {
  const metadata = isRecord(claims['user_metadata']) ? claims['user_metadata'] : {}
  const profile: Profile = {
    email: address(claims['email']),
    name: label(metadata['full_name']) ?? label(metadata['name']) ?? label(claims['name']),
    department: label(claimAt(claims, paths.department)),
    role: roleOf(claimAt(claims, paths.role)),
    scopes: scopesOf(claims),
  }
  // The top-level role is Postgres's own (Supabase): its service_role bypasses every policy, so it is no user.
  if (claims['role'] === 'service_role')
    return { kind: 'service', subject: null, ...profile, role: 'service' }
  return isIdentifier(claims.sub) ? { kind: 'user', subject: claims.sub, ...profile } : null
}
