import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createSessionManager } from '../../src/sessions/session-manager.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callTool, modern, post, tokenFor } from '../support/mcp.ts'

const SCRIPT = join(import.meta.dirname, '../support/crash-process.ts')

let database: TestDatabase
let child: ChildProcess | undefined
beforeAll(async () => {
  database = await createTestDatabase()
})
afterEach(() => {
  child?.kill('SIGKILL')
})
afterAll(() => database[Symbol.asyncDispose]())

async function startServer(): Promise<string> {
  child = spawn(process.execPath, [SCRIPT, database.url], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(child.stdout!, 'data')) as [Buffer]
  return line.toString().trim()
}

describe('a server that is killed under load', () => {
  it('leaves the row of every call that it answered, and the sweep closes those it left open', async () => {
    const origin = await startServer()
    const token = await tokenFor('Alice')
    const answered: string[] = []
    let next = 0

    /** Calls until the server is gone; the tool's name tells the calls apart. */
    async function load(): Promise<void> {
      for (;;) {
        const tool = `tool-${(next += 1)}`
        const { body, headers } = modern(callTool(tool))
        try {
          const response = await fetch(`${origin}/mcp`, post(body, { token, headers }))
          await response.json()
          if (response.status !== 200) throw new Error(`unexpected status ${response.status}`)
          answered.push(tool)
          if (answered.length === 300) child!.kill('SIGKILL')
        } catch (error) {
          if (answered.length >= 300) return
          throw error
        }
      }
    }
    await Promise.all(Array.from({ length: 20 }, load))

    const rows = await database.owner<{ tool_name: string; status: string }[]>`
      select tool_name, status from archon_mcp_requests`
    const recorded = rows.map((row) => row.tool_name)
    expect(answered.length).toBeGreaterThanOrEqual(300)
    expect(answered.filter((tool) => !recorded.includes(tool))).toEqual([])
    expect(new Set(recorded).size).toBe(recorded.length)

    const open = rows.filter(({ status }) => status === 'open').length
    const later = new Date(Date.now() + 60 * 60 * 1000)
    expect(await createSessionManager(database.sql).sweep(later)).toMatchObject({ calls_expired: open })
    const left = await database.owner`select from archon_mcp_requests where status = 'open'`
    expect(left).toHaveLength(0)
  })
})
