import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { configured, type Entry, failToStart, startEntry } from '../support/entry.ts'
import { tokenFor } from '../support/mcp.ts'
import { startEverything, type UpstreamProcess } from '../support/upstream-process.ts'

describe('the Node entry with UPSTREAMS_FILE', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mcp-user-context-upstreams-'))
  const file = join(folder, 'upstreams.json')
  let database: TestDatabase
  let upstream: UpstreamProcess
  let entry: Entry
  beforeAll(async () => {
    database = await createTestDatabase()
    upstream = await startEverything()
    const servers = [
      { path: '/mcp/everything', url: upstream.url, assertion: ['email'] },
      { path: '/mcp/gone', url: 'http://127.0.0.1:9/mcp' },
    ]
    writeFileSync(file, JSON.stringify(servers))
    entry = await startEntry(process.execPath, 'src/node.ts', {
      ...configured(database.url),
      UPSTREAMS_FILE: file,
    })
  })
  afterAll(async () => {
    entry?.child.kill('SIGKILL')
    await upstream?.[Symbol.asyncDispose]()
    await database?.[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true })
  })

  const connect = async (path: string, name: string): Promise<Client> => {
    const url = new URL(path, entry.origin)
    const token = await tokenFor(name, { aud: url.href })
    const client = new Client({ name: 'Cursor', version: '2.0' })
    const requestInit = { headers: { authorization: `Bearer ${token}` } }
    await client.connect(new StreamableHTTPClientTransport(url, { requestInit }))
    return client
  }

  const recorded = async () => {
    const rows = await database.owner`select tool_name from archon_mcp_requests where tool_name is not null`
    return rows.map(({ tool_name }) => tool_name as string)
  }

  it('says where its servers are', () => {
    expect(entry.lines.filter((line) => line.startsWith('endpoint'))).toEqual([
      `endpoint  ${entry.origin}/mcp/everything`,
      `endpoint  ${entry.origin}/mcp/gone`,
    ])
  })

  it('serves each, and has its calls on record under its name', async () => {
    const client = await connect('/mcp/everything', 'Nia')
    const { content } = await client.callTool({ name: 'echo', arguments: { message: 'hi' } })
    expect(content).toMatchObject([{ text: 'Echo: hi' }])
    await client.close()
    await expect.poll(recorded).toEqual(['everything/echo'])
  })

  it('says of one that is not there that it cannot be reached', async () => {
    await expect(connect('/mcp/gone', 'Nia')).rejects.toThrow('The upstream MCP server cannot be reached')
  })

  it('publishes the keys of its assertions, which it made', async () => {
    const { keys } = (await (await entry.fetch('/.well-known/jwks.json')).json()) as { keys: object[] }
    expect(keys).toMatchObject([{ kty: 'EC', crv: 'P-256', alg: 'ES256', use: 'sig' }])
    expect(keys[0]).not.toHaveProperty('d')
  })

  it('does not start with a list that is wrong, and says everything that is', async () => {
    const wrong = join(folder, 'wrong.json')
    writeFileSync(wrong, JSON.stringify([{ path: 'github', url: 'github.example.com' }]))
    const { code, said } = await failToStart({ ...configured(database.url), UPSTREAMS_FILE: wrong })
    expect(code).toBe(1)
    expect(said.trim().split('\n')).toEqual([
      'The configuration cannot be used:',
      '  UPSTREAMS_FILE server 1: path is no plain path: give one such as /mcp/github',
      '  UPSTREAMS_FILE server 1: url is no absolute URL: give an absolute http or https URL, such as https://tools.example.com/mcp',
    ])
  })
})
