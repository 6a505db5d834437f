import { Hono } from 'hono'
import { dashboard, type DashboardOptions } from '../../src/dashboard/dashboard.ts'
import { afterAll, beforeAll } from 'vitest'
import { createLedger } from '../../src/ledger/ledger.ts'
import type { AdmissionRequest, CallToClose, CallToOpen } from '../../src/ledger/types.ts'
import { apiApp, userId, userToken } from '../api/support.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callerNamed, callOf, requestBy, success } from '../support/ledger.ts'
import type { Sql } from '../../src/db/client.ts'
import { COOKIE_KEY } from '../support/issuer.ts'
import { ISSUER, optionsFor } from '../support/mcp.ts'
import { signedInAs, type Visitor } from '../support/visitor.ts'

export { COOKIE_KEY }
export { type Opened, signedInAs, textOf, type Visitor, visitorOf } from '../support/visitor.ts'

/** The dashboard where the deployable app mounts it. */
export const dashboardApp = (sql: Sql, options: Partial<DashboardOptions> = {}): Hono =>
  new Hono().route('/dashboard', dashboard({ ...optionsFor(sql), cookieKey: COOKIE_KEY, ...options }))

/** A company: two in sales and their manager, one in research, and those who see everybody. */
const PEOPLE = {
  Alice: { department: 'sales' },
  Bob: { department: 'sales' },
  Carl: { department: 'research' },
  Mia: { department: 'sales', role: 'manager' },
  Fin: { role: 'finance' },
  Ada: { role: 'admin' },
} as const
export type Person = keyof typeof PEOPLE

/** What somebody does: a call, as it is admitted and as it ends. */
export interface Deed {
  call?: Partial<CallToOpen>
  request?: Partial<AdmissionRequest>
  end?: Partial<CallToClose>
}

export interface People<Name extends Person> {
  readonly database: TestDatabase
  tokenOf: (who: Name) => string
  idOf: (who: Name) => string
  departmentOf: (who: Name) => string | null
  /** Each signed in, in a browser of their own. */
  visitorOf: (who: Name) => Visitor
  /** A call of somebody. @returns how the ledger judged it */
  call: (who: Name, deed?: Deed) => Promise<string>
}

/** Some of these people, known to a database for a file of tests; read them inside a test. */
export function usePeople<Name extends Person>(names: readonly Name[]): People<Name> {
  let database: TestDatabase
  const found = new Map<Name, { token: string; id: string; visitor: Visitor }>()
  beforeAll(async () => {
    database = await createTestDatabase()
    for (const name of names) {
      const token = await userToken(name, PEOPLE[name])
      const visitor = await signedInAs(dashboardApp(database.sql), token)
      found.set(name, { token, visitor, id: await userId(apiApp(database.sql), token) })
    }
  })
  afterAll(() => database[Symbol.asyncDispose]())
  return {
    get database() {
      return database
    },
    tokenOf: (who) => found.get(who)!.token,
    idOf: (who) => found.get(who)!.id,
    departmentOf: (who) => ({ department: null, ...PEOPLE[who] }).department,
    visitorOf: (who) => found.get(who)!.visitor,
    async call(who, { call = {}, request = {}, end = {} } = {}) {
      const claims = { department: null, role: 'member', ...PEOPLE[who] }
      const named = { issuer: ISSUER, name: who, issuedAt: new Date(), ...claims }
      const caller = await callerNamed(who.toLowerCase(), named)
      const ledger = createLedger(database.sql, { closeDelayMs: 0 })
      const one = callOf(call)
      const verdict = await ledger.admit(requestBy(caller, { calls: [one], ...request }))
      if (!verdict.admitted) return verdict.code
      await ledger.close(success(one.id, end))
      return 'admitted'
    },
  }
}
