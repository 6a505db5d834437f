import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createSessionManager } from '../../src/sessions/session-manager.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { DEEP, patience } from '../support/deep.ts'
import { callTool, initialize, modern, post, tokenFor } from '../support/mcp.ts'
import { putQuota } from '../support/quotas.ts'
import { beyondCalls } from '../support/rollups.ts'

const SCRIPT = join(import.meta.dirname, '../support/crash-process.ts')
const PROCESSES = 4
const USERS = 50
const SECONDS = DEEP ? 600 : 60
const RESTARTS = DEEP ? 60 : 12
/** Between the calls of a client at most: in `npm test` a minute of traffic leaves the cores to other files. */
const PAUSE_MS = DEEP ? 0 : 5000
// Low enough to be reached on a busy machine.
const LIMIT_OF_EACH = DEEP ? 400 : 12
const LIMIT_OF_ALL = DEEP ? 12_000 : 500

interface Server {
  child: ChildProcess
  origin: string
}

let database: TestDatabase
const servers: Server[] = []
beforeAll(async () => {
  database = await createTestDatabase()
  servers.push(...(await Promise.all(Array.from({ length: PROCESSES }, start))))
})
afterAll(async () => {
  for (const { child } of servers) child.kill('SIGKILL')
  await database[Symbol.asyncDispose]()
})

async function start(): Promise<Server> {
  const child = spawn(process.execPath, [SCRIPT, database.url], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return { child, origin: line.toString('utf8').trim() }
}

/** What clients saw, by the tool's name, which each call has for itself. */
const seen = { answered: new Set<string>(), refused: new Set<string>(), lost: new Set<string>() }

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** One client: calls in both eras, in a session of its own now and then, on whichever process. */
async function client(number: number, until: number): Promise<void> {
  const token = await tokenFor(`user-${number % USERS}`)
  for (let turn = 0; Date.now() < until; turn += 1) {
    if (PAUSE_MS > 0) await pause(Math.random() * PAUSE_MS)
    const { origin } = servers[(number + turn) % PROCESSES]!
    const tool = `tool-${number}-${turn}`
    try {
      const session =
        turn % 5 === 0
          ? (await fetch(`${origin}/mcp`, post(initialize(), { token }))).headers.get('mcp-session-id')
          : null
      const call = modern(callTool(tool))
      const sent =
        session === null
          ? post(call.body, { token, headers: call.headers })
          : post(callTool(tool), { token, session })
      const response = await fetch(`${origin}/mcp`, sent)
      await response.text()
      if (response.status === 200) seen.answered.add(tool)
      else if (response.status === 429) seen.refused.add(tool)
      else seen.lost.add(tool)
    } catch {
      seen.lost.add(tool)
    }
  }
}

/** Ends one process after the other, by every way, and starts it again. */
async function restarts(until: number): Promise<void> {
  const pauseMs = (until - Date.now()) / (RESTARTS + 1)
  for (let turn = 0; turn < RESTARTS; turn += 1) {
    await pause(pauseMs)
    const place = turn % PROCESSES
    servers[place]!.child.kill(turn % 2 === 0 ? 'SIGKILL' : 'SIGTERM')
    servers[place] = await start()
  }
}

describe('four processes on one database, restarted under the traffic of fifty users', () => {
  it(
    'record what clients were answered, hold every quota, and keep no session in two states',
    { timeout: patience + SECONDS * 1000 },
    async () => {
      const { sql, owner } = database
      await putQuota(sql, { scope: 'each_user', limit: LIMIT_OF_EACH, window: 'total' })
      await putQuota(sql, { limit: LIMIT_OF_ALL, window: 'total' })
      const until = Date.now() + SECONDS * 1000
      await Promise.all([
        ...Array.from({ length: USERS }, (_, number) => client(number, until)),
        restarts(until),
      ])

      // Those that died with calls in flight left them open.
      await expect
        .poll(
          async () => {
            await createSessionManager(sql).sweep(new Date(Date.now() + 3_600_000))
            return await owner`select from archon_mcp_requests where status = 'open'`
          },
          { timeout: 15_000 },
        )
        .toHaveLength(0)
      const rows = await owner<{ tool: string; user_id: string }[]>`
      select tool_name as tool, user_id from archon_mcp_requests where counted`
      const recorded = new Set(rows.map(({ tool }) => tool))
      expect(recorded.size).toBe(rows.length)
      expect(seen.answered.size).toBeGreaterThan(LIMIT_OF_ALL / 4)
      expect([...seen.answered].filter((tool) => !recorded.has(tool))).toEqual([])
      expect([...recorded].filter((tool) => !seen.answered.has(tool) && !seen.lost.has(tool))).toEqual([])
      expect(seen.refused.size).toBeGreaterThan(0)

      expect(rows.length).toBeLessThanOrEqual(LIMIT_OF_ALL)
      const perUser = new Map<string, number>()
      for (const { user_id: user } of rows) perUser.set(user, (perUser.get(user) ?? 0) + 1)
      expect(Math.max(...perUser.values())).toBeLessThanOrEqual(LIMIT_OF_EACH)
      expect([...(await sql`select * from archon_mcp_check_budgets(false)`)]).toEqual([])
      expect(await beyondCalls(sql)).toEqual([])
      const torn = await owner`
      select session_id from archon_mcp_sessions where (status = 'disconnected') <> (disconnected_at is not null)`
      expect([...torn]).toEqual([])
    },
  )
})
