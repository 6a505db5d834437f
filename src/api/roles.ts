import type { Role } from '../variables.ts'

/** Whose things somebody reaches: their own, those of their department's users too, or everybody's. */
export type Reach = 'own' | 'department' | 'all'

/** Each role's reach. */
export type Roles = Readonly<Record<Role, Reach>>

/** Members their own, managers their department's, the others everybody's. */
export const EVERYBODY: Roles = {
  member: 'own',
  manager: 'department',
  finance: 'all',
  admin: 'all',
  service: 'all',
}

/** Of single calls finance reads its own. */
export const CALL_READERS: Roles = { ...EVERYBODY, finance: 'own' }

/** Each user for themselves. A program is no user. */
export const USERS = { member: 'own', manager: 'own', finance: 'own', admin: 'own' } as const

/** Users for themselves, those who administer for everybody. */
export const OWNERS: Roles = { ...USERS, admin: 'all', service: 'all' }

/** Those who administer. */
export const ADMINS = { admin: 'all', service: 'all' } as const
