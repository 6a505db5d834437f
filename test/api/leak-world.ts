import type { Hono } from 'hono'
import type { Sql } from '../../src/db/client.ts'
import { CALL_READERS, type Reach } from '../../src/api/roles.ts'
import { reachOf, type Route } from '../../src/api/route.ts'
import type { Role } from '../../src/variables.ts'
import { ago, send, serviceToken, userId, userToken, writeSession } from './support.ts'

/** What of a person can be recognised in an answer. */
export interface Marks {
  /** Their id. */
  id: string
  /** In name and e-mail. */
  who: string
  /** In the name of a tool that they alone called. */
  tool: string
  /** In the error of a call of theirs. */
  error: string
  /** How the id of a session of theirs begins. */
  session: string
  /** In the name of an access token of theirs. */
  token: string
}

/** Somebody with a thing of every kind. */
export interface Person {
  role: Exclude<Role, 'service'>
  department: string
  token: string
  marks: Marks
  session: string
  ended: string
  quota: string
  accessToken: string
}

/** Who asks: a person, or a program. */
export interface Asker {
  role: Role
  token: string
  person: Person | null
}

/** One for each role, and colleagues of the member: in their department, and in another. */
const PEOPLE = {
  alice: ['member', 'sales'],
  bob: ['member', 'sales'],
  carl: ['member', 'research'],
  mia: ['manager', 'sales'],
  fin: ['finance', 'controlling'],
  ada: ['admin', 'operations'],
} as const satisfies Record<string, readonly [Person['role'], string]>
export type Name = keyof typeof PEOPLE
export const NAMES = Object.keys(PEOPLE) as Name[]

export const quotaBody = (subject: string, metric: string) => ({
  scope: 'user',
  subject,
  metric,
  limit: 1000,
  window: 'day',
})

interface Places {
  app: Hono
  owner: Sql
  admin: string
}

async function plant({ app, owner, admin }: Places, name: Name): Promise<Person> {
  const [role, department] = PEOPLE[name]
  const token = await userToken(`mark-${name}`, role === 'member' ? { department } : { role, department })
  const id = await userId(app, token)
  const who = { user_id: id, user_email: `mark-${name}@example.com`, user_name: `mark-${name}` }
  const session = await writeSession(owner, { ...who, client_name: name, last_activity: ago(5) })
  const past = { connected_at: ago(7200), last_activity: ago(3600), disconnected_at: ago(3600) }
  const ended = await writeSession(owner, { ...who, ...past })
  await owner`
    insert into archon_mcp_requests
      (session_id, user_id, department, method, tool_name, status, error_message, timestamp, duration_ms)
    values (${session}, ${id}, ${department}, 'tools/call', ${`tool-${name}`}, 'success', null, ${ago(60)}, 5),
           (${session}, ${id}, ${department}, 'tools/call', ${`tool-${name}`}, 'error', ${`oops-${name}`}, ${ago(50)}, 5)`
  const quota = await send(app, 'PUT /quotas', { token: admin, body: quotaBody(id, 'requests') })
  const made = await send(app, 'POST /tokens', { token, body: { name: `key-${name}` } })
  return {
    role,
    department,
    token,
    session,
    ended,
    quota: (quota.body as unknown as { quota_id: string }).quota_id,
    accessToken: (made.body as unknown as { token_id: string }).token_id,
    marks: {
      id,
      who: `mark-${name}`,
      tool: `tool-${name}`,
      error: `oops-${name}`,
      session: session.slice(0, 8),
      token: `key-${name}`,
    },
  }
}

export interface World {
  people: Record<Name, Person>
  askers: Asker[]
  /** An admin's token. */
  admin: string
}

/** Everybody with their things, and one asker for each role. */
export async function makeWorld(app: Hono, owner: Sql): Promise<World> {
  const service = await serviceToken()
  const people = {} as Record<Name, Person>
  for (const name of NAMES) people[name] = await plant({ app, owner, admin: service }, name)
  const asking = (['alice', 'mia', 'fin', 'ada'] as const).map((name) => people[name])
  return {
    people,
    admin: people.ada.token,
    askers: [
      ...asking.map((person) => ({ role: person.role, token: person.token, person })),
      { role: 'service', token: service, person: null },
    ],
  }
}

/** Whether somebody who reaches so far reaches this person. */
export function covers(reach: Reach | null, { person }: Asker, target: Person): boolean {
  if (reach === null) return false
  if (reach === 'all' || target === person) return true
  return reach === 'department' && target.department === person?.department
}

/** Whom a route may show to somebody. */
export const inReach = ({ people }: World, route: Route, asker: Asker): Name[] =>
  NAMES.filter((name) => covers(reachOf(route, asker.role), asker, people[name]))

/**
 * What of whom stands in an answer that should not: of those out of reach anything, and the errors of calls that the
 * asker may not read.
 */
export function leaksIn({ people }: World, asker: Asker, text: string, allowed: readonly Name[]): string[] {
  return NAMES.flatMap((name) => {
    const { error, ...others } = people[name].marks
    const hidden = [
      ...(allowed.includes(name) ? [] : Object.values(others)),
      ...(covers(CALL_READERS[asker.role], asker, people[name]) ? [] : [error]),
    ]
    return hidden.filter((mark) => text.includes(mark))
  })
}
