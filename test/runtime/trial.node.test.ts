import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CLEAN_ENV } from '../support/clean-env.ts'
import { formBrowser } from '../support/form-browser.ts'
import { signIn } from '../support/signed-in-client.ts'
import { failToStart, type Entry, startEntry } from '../support/entry.ts'
import { initialize, post } from '../support/mcp.ts'

const run = promisify(execFile)
const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url).href)
const BUN = fileURLToPath(new URL('../../node_modules/.bin/bun', import.meta.url).href)
const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

const sessionsOf = async (entry: Entry, token: string): Promise<number> => {
  const headers = { authorization: `Bearer ${token}` }
  const answer = await entry.fetch('/api/mcp/clients?status_filter=all', { headers })
  return (await answer.json<{ total: number }>()).total
}

describe('the trial', () => {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'mcp-user-context-trial-'))
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  const start = (): Promise<Entry> => startEntry(process.execPath, 'src/node.ts', {}, folder)
  const tokenOf = async (name: string): Promise<string> => {
    const env = { ...CLEAN_ENV }
    return (await run(process.execPath, [CLI, 'token', name], { cwd: folder, env })).stdout.trim()
  }
  const serverPid = (): number =>
    Number(readFileSync(join(folder, '.data/postgres/postmaster.pid'), 'utf8').split('\n')[0])

  it('prints the endpoint, three tokens that work, and that it is ready', async () => {
    const entry = await start()
    expect(entry.lines).toContain(`endpoint  ${entry.origin}/mcp`)
    const tokens = entry.lines.filter((line) => /^ +ey/.test(line)).map((line) => line.trim())
    expect(tokens).toHaveLength(3)
    for (const token of tokens) {
      expect((await entry.fetch('/mcp', post(initialize(), { token }))).status).toBe(200)
    }
    expect(entry.lines.some((line) => line.includes('claude mcp add') && line.includes(tokens[0]!))).toBe(
      true,
    )
    expect(entry.lines).toContain(`  claude mcp add --transport http trial ${entry.origin}/mcp`)
    expect(await entry.interrupt()).toBe(0)
  })

  it.each([
    ['Node', process.execPath, 'src/node.ts'],
    ['Bun', BUN, 'src/bun.ts'],
  ])('lets whoever has a token sign in, on %s: one user, however they come', async (_, command, file) => {
    const made = await tokenOf('Eve')
    const entry = await startEntry(command, file, {}, folder)
    await using eve = await signIn(new URL('/mcp', entry.origin), formBrowser({ press: 'Eve' }))
    const who = JSON.stringify(await eve.client.callTool({ name: 'whoami' }))
    expect(who).toContain(decodeJwt(made).sub)
    expect(await entry.interrupt()).toBe(0)
  })

  it('keeps its data and its users over a stop, a kill and starts after them', async () => {
    const token = await tokenOf('dora')
    for (const [sessions, end] of [
      [1, 'SIGINT'],
      [2, 'SIGKILL'],
      [3, 'SIGINT'],
    ] as const) {
      const entry = await start()
      await (await entry.fetch('/mcp', post(initialize(), { token }))).text()
      expect(await sessionsOf(entry, token)).toBe(sessions)
      if (end === 'SIGINT') {
        const server = serverPid()
        expect(await entry.interrupt()).toBe(0)
        expect(isAlive(server)).toBe(false)
      } else {
        const gone = new Promise((resolve) => entry.child.once('exit', resolve))
        entry.child.kill(end)
        await gone
      }
    }
  })

  it('does not take the data from a trial that runs', async () => {
    const entry = await start()
    const { code, said } = await failToStart({}, folder)
    expect(said).toContain(`The trial is already running as process ${entry.child.pid}`)
    expect(code).toBe(1)
    expect(await entry.interrupt()).toBe(0)
  })
})
