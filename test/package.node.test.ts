import { execFile, spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CLEAN_ENV } from './support/clean-env.ts'
import { VERSION } from '../src/version.ts'
import { createTestDatabase, type TestDatabase } from './support/database.ts'
import { initialize, ISSUER, post, SECRET, tokenFor } from './support/mcp.ts'
import { firstLine } from './support/process.ts'

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('..', import.meta.url).href)
const packageJson = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  version: string
  dependencies: Record<string, string>
}
/** What is exported under a path of its own, as `mcp-user-context/migrate` is. */
const FURTHER = ['db/migrate.ts', 'dashboard/dashboard.ts', 'usage/gpt-tokenizer.ts']
const BESIDE = ['hono', 'gpt-tokenizer', '@hono/node-server', '@modelcontextprotocol/server', '@types/node']

/** A folder in which the tarball is installed: it sees what it declares and what README installs, and nothing else. */
let folder: string
let database: TestDatabase

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mcp-user-context-package-'))
  await run('npm', ['pack', '--pack-destination', folder], { cwd: ROOT })
  await run('tar', ['xzf', `mcp-user-context-${packageJson.version}.tgz`], { cwd: folder })
  mkdirSync(join(folder, 'node_modules'))
  cpSync(join(folder, 'package'), join(folder, 'node_modules/mcp-user-context'), { recursive: true })
  for (const name of [...Object.keys(packageJson.dependencies), ...BESIDE]) {
    const target = join(folder, 'node_modules', name)
    mkdirSync(dirname(target), { recursive: true })
    symlinkSync(join(ROOT, 'node_modules', name), target)
  }
  writeFileSync(join(folder, 'package.json'), '{ "type": "module", "private": true }')
  const [, app = ''] = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(ROOT, 'README.md'), 'utf8')) ?? []
  writeFileSync(join(folder, 'app.ts'), app)
  database = await createTestDatabase()
}, 120_000)

afterAll(async () => {
  await database[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

/** As somebody would who installed it; what the compiler finds is the failure's text. */
async function typeCheck(file: string): Promise<void> {
  const strict = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--skipLibCheck', '--ignoreConfig']
  const target = ['--module', 'nodenext', '--target', 'es2023', '--types', 'node']
  const check = run(join(ROOT, 'node_modules/.bin/tsc'), [...strict, ...target, file], { cwd: folder })
  const { stdout } = await check.catch((error: unknown) => error as { stdout: string })
  expect(stdout).toBe('')
}

/** The code of each `@example` that stands above a name which the package exports. */
function publicExamples(): { name: string; code: string }[] {
  const index = readFileSync(join(ROOT, 'src/index.ts'), 'utf8')
  const files = [...index.matchAll(/from '\.\/([^']+)'/g)].map(([, file]) => file!)
  return [...new Set([...files, ...FURTHER])].flatMap((file) => {
    const source = readFileSync(join(ROOT, 'src', file), 'utf8')
    const documented = source.matchAll(
      /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\nexport (?:async )?(?:function|const) (\w+)/g,
    )
    return [...documented].flatMap(([, comment = '', name = '']) => {
      if (!FURTHER.includes(file) && !new RegExp(`\\b${name}\\b`).test(index)) return []
      const [, example] = /@example([\s\S]*?)(?=\n \* @|$)/.exec(comment) ?? []
      if (example === undefined) return []
      return [{ name, code: example.replaceAll(/^ \* ?/gm, '').replaceAll(/```(?:ts)?/g, '') }]
    })
  })
}

describe('the package', () => {
  it('tells its version', () => {
    expect(VERSION).toBe(packageJson.version)
  })

  it("type-checks README's app, which has twelve lines", async () => {
    expect(readFileSync(join(folder, 'app.ts'), 'utf8').trim().split('\n')).toHaveLength(12)
    await typeCheck('app.ts')
  })

  it('type-checks the example of every public name', async () => {
    const examples = publicExamples()
    const documented = examples.map(({ name }) => name)
    expect(documented).toEqual(expect.arrayContaining(['mcpUserContext', 'migrate', 'countGptTokens']))
    const names = [...new Set(examples.map(({ name }) => name)), 'userContext', 'serveMcp', 'mcpUserContext']
    const blocks = examples.map(({ name, code }) => `  // ${name}\n  async () => {\n${code}\n  },`)
    const file = `
      import { createMcpHandler, type McpServer } from '@modelcontextprotocol/server'
      import { Hono } from 'hono'
      import { ${[...new Set(names)].filter((name) => !['migrate', 'dashboard', 'countGptTokens'].includes(name)).join(', ')} } from 'mcp-user-context'
      import type { McpHandler, McpUserContextOptions, Sql } from 'mcp-user-context'
      import { dashboard } from 'mcp-user-context/dashboard'
      import { migrate } from 'mcp-user-context/migrate'
      import { countGptTokens } from 'mcp-user-context/gpt-tokenizer'
      declare const app: Hono, sql: Sql, options: McpUserContextOptions, handler: McpHandler
      declare const secret: string, issuer: string, resource: string, makeServer: () => McpServer
      export const used = [Hono, createMcpHandler, dashboard, migrate, userContext, serveMcp, mcpUserContext, () => [app, sql, options, handler, secret, issuer, resource, makeServer]]
      export const examples = [
${blocks.join('\n')}
      ]`
    writeFileSync(join(folder, 'examples.ts'), file)
    await typeCheck('examples.ts')
  })

  it("runs README's app", async () => {
    // The port of the README may be taken here.
    const app = readFileSync(join(folder, 'app.ts'), 'utf8').replace(
      'port: 3000',
      "port: 0, hostname: '127.0.0.1'",
    )
    const listening = app.replace(/^serve\((.*)\)$/m, 'serve($1, (at) => console.log(at.port))')
    writeFileSync(join(folder, 'running.ts'), listening)
    const env = {
      ...CLEAN_ENV,
      DATABASE_URL: database.url,
      SUPABASE_JWT_SECRET: SECRET,
      JWT_ISSUER: ISSUER,
    }
    const child = spawn(process.execPath, ['running.ts'], {
      cwd: folder,
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    try {
      const port = await firstLine(child)
      const token = await tokenFor('Reader', { aud: 'http://127.0.0.1:3000/mcp' })
      const opened = await fetch(`http://127.0.0.1:${port}/mcp`, post(initialize('Cursor'), { token }))
      expect(opened.status).toBe(200)
      const sessions = await database.sql`select session_id, client_type, user_name from archon_mcp_sessions`
      expect([...sessions]).toEqual([
        { session_id: opened.headers.get('mcp-session-id'), client_type: 'Cursor', user_name: 'Reader' },
      ])
    } finally {
      child.kill('SIGKILL')
    }
  })

  it('brings the command with its migrations', async () => {
    await using empty = await createTestDatabase({}, 'empty')
    const command = join(folder, 'node_modules/mcp-user-context/dist/cli.js')
    const env = { ...CLEAN_ENV, DATABASE_URL: empty.ownerUrl }
    const { stdout } = await run(process.execPath, [command, 'migrate', 'up'], { cwd: folder, env })
    expect(stdout).toContain('up 0001_roles.sql')
    const { migrate } = (await import(join(folder, 'node_modules/mcp-user-context/dist/db/migrate.js'))) as {
      migrate: (sql: unknown, options: { direction: 'up' }) => Promise<string[]>
    }
    expect(await migrate(empty.owner, { direction: 'up' })).toEqual([])
  })
})
