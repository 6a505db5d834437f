import { EVERYBODY, type Roles } from '../../src/api/roles.ts'
import type { Role } from '../../src/variables.ts'
import { type Marks, type Person, quotaBody } from './leak-world.ts'

/** What a route is asked, and what of whom its answer shows. */
export type Expectation =
  /** A list: by query, what of everybody in reach it shows, of nobody else anything. */
  | { shows: Record<string, keyof Marks | 'nothing'>; about?: (person: Person) => string }
  /** A thing of somebody: in reach it answers, out of reach it is unknown. */
  | {
      thing: (person: Person, make: Make) => string | Promise<string>
      query?: string
      body?: unknown
      /** Who may look at it, where that is more: they are told that they may not. */
      sight?: Roles
    }
  /** What is nobody's: those whom the roles name do it. */
  | { does: (role: Role) => unknown }

/** Makes a thing for the occasion: those that are gone afterwards. */
export interface Make {
  quota(person: Person): Promise<string>
  accessToken(person: Person): Promise<string>
  leaver(): Promise<string>
}

const user = { thing: ({ marks }: Person) => marks.id }
const byUser =
  (query: string) =>
  ({ marks }: Person) =>
    `${query}user_id=${marks.id}`

/** For every route of the table; one without a line here fails. */
export const EXPECTATIONS: Record<string, Expectation> = {
  'POST /initialize': { does: () => ({ client_info: { name: 'matrix' } }) },
  'GET /me': { shows: { '': 'who' } },
  'GET /clients': { shows: { '?status_filter=all': 'who' }, about: byUser('?status_filter=all&') },
  'GET /sessions': {
    shows: { '?status_filter=all': 'who', '?status_filter=all&format=csv': 'who' },
    about: byUser('?status_filter=all&'),
  },
  'GET /sessions/disconnected': { shows: { '': 'who' } },
  // Of the latest ten alone.
  'GET /sessions/health': { shows: { '': 'nothing' } },
  'GET /sessions/:id': { thing: ({ session }) => session },
  'DELETE /sessions/:id': { thing: ({ ended }) => ended, sight: EVERYBODY },
  'GET /users': {
    shows: { '': 'who', '?search=mark-': 'who', '?format=csv': 'who' },
    about: ({ marks }) => `?search=${marks.id}`,
  },
  'GET /users/:id': user,
  'GET /users/:id/sessions': user,
  'GET /users/:id/activity': user,
  'GET /users/:id/export': user,
  'PATCH /users/:id': { ...user, body: { blocked: false } },
  // Of somebody new each time: the others are still to ask.
  'POST /users/:id/revoke': { thing: (_, make) => make.leaver() },
  'DELETE /users/:id': { ...user, query: '?dry_run=true' },
  'GET /usage/summary': { shows: { '': 'tool' } },
  'GET /analytics': { shows: { '': 'tool' } },
  'GET /errors': { shows: { '': 'error' }, about: byUser('?') },
  'GET /logs': {
    shows: { '': 'error', '?search=oops-': 'error', '?format=csv': 'error' },
    about: byUser('?'),
  },
  'GET /costs': {
    shows: {
      '?group_by=user': 'who',
      '?group_by=user&format=csv': 'who',
      '?group_by=tool': 'tool',
      '?group_by=day': 'nothing',
    },
    about: byUser('?group_by=user&'),
  },
  'GET /quotas': { shows: { '': 'id' }, about: byUser('?') },
  'GET /quotas/:quota_id': { thing: ({ quota }) => quota },
  'PUT /quotas': { does: () => ({ scope: 'everyone', metric: 'tokens', limit: 1_000_000, window: 'total' }) },
  'DELETE /quotas/:quota_id': { thing: (person, make) => make.quota(person) },
  'POST /quotas/preview': { does: () => ({ ...quotaBody(crypto.randomUUID(), 'requests'), days: 1 }) },
  'GET /pricing': { shows: { '': 'nothing' } },
  'PUT /pricing': { does: () => ({ tool_name: 'matrix', price: '0.01' }) },
  'POST /pricing/rerate': { does: () => ({ from: new Date(Date.now() - 1000).toISOString() }) },
  'GET /tokens': { shows: { '?status=all': 'token' }, about: byUser('?status=all&') },
  'POST /tokens': {
    does: (role) => ({ name: 'matrix', ...(role === 'service' ? { service: 'matrix' } : {}) }),
  },
  'DELETE /tokens/:id': { thing: (person, make) => make.accessToken(person) },
  'GET /audit': { shows: { '?limit=1000': 'id', '?limit=1000&format=csv': 'id' } },
  'GET /retention': { shows: { '': 'nothing' } },
  'PUT /retention': { does: () => ({ audit_days: null }) },
}
