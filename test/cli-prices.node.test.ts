import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { CLEAN_ENV } from './support/clean-env.ts'
import { createLedger } from '../src/ledger/ledger.ts'
import { createTestDatabase, type TestDatabase } from './support/database.ts'
import { callerNamed, callOf, requestBy, success } from './support/ledger.ts'

const CLI = fileURLToPath(new URL('../src/cli.ts', import.meta.url).href)

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())
afterEach(async () => {
  await database.owner`delete from archon_llm_pricing where effective_date >= '2026-01-01'`
  await database.owner`truncate archon_mcp_tool_prices, archon_mcp_requests cascade`
})

async function run(...args: string[]) {
  const env = { ...CLEAN_ENV, DATABASE_URL: database.ownerUrl }
  const child = spawn(process.execPath, [CLI, 'prices', ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { out, err, code: code as unknown }
}

/** Runs what must succeed. @returns what it printed. */
async function said(...args: string[]): Promise<string> {
  const { out, err, code } = await run(...args)
  expect({ err, code }).toEqual({ err: '', code: 0 })
  return out.trim()
}

/** A call that used 1,000 tokens of a model. */
async function call(model: string): Promise<void> {
  const ledger = createLedger(database.sql)
  const wanted = callOf()
  await ledger.admit(requestBy(await callerNamed('alice'), { calls: [wanted] }))
  await ledger.close(success(wanted.id, { usage: [{ model, promptTokens: 600, completionTokens: 400 }] }))
}

const typed = (...options: string[]) => options.map((option) => `--${option}`)
const large = typed('provider=Test', 'model=large', 'input=1', 'output=0.50')
const keep = 'Calls on record keep their cost: "prices rerate" prices those of a period anew'
const cells = (table: string) => table.split('\n').map((line) => line.split(/\s{2,}/))

describe('prices', () => {
  test('sets and lists what models and tools cost, and what has no price', async () => {
    await call('huge')
    const dated = typed('cached=0.0000001', 'date=2026-02-01')
    expect(await said('set', ...large, ...dated)).toBe(`created the price of large\n${keep}`)
    expect(await said('set', ...large, ...dated, '--output', '2')).toBe(
      `replaced the price of large\n${keep}`,
    )
    const tool = typed('tool=search', 'price=0.25')
    expect(await said('set', ...tool)).toBe('created the price of search')
    await said('set', ...tool, '--from', '2026-01-01T00:00:00Z', '--remark', 'agreed')

    const all = (await said('list')).split('\n\n').map(cells)
    expect(all[0]).toHaveLength(13)
    expect(all[0]?.at(-1)).toEqual(['large', 'Test', '1', '2', '0.0000001', '2026-02-01'])
    const moment = expect.stringMatching(/^2\d{3}-.*Z$/) as string
    expect(all.slice(1)).toEqual([
      [
        ['tool', 'a call', 'from'],
        ['search', '0.25', moment],
        ['search', '0.25', '2026-01-01T00:00:00.000Z'],
      ],
      [
        ['without a price', 'calls', 'tokens', 'first', 'last'],
        ['huge', '1', '1000', moment, moment],
      ],
    ])
    const told = JSON.parse(await said('list', '--model', 'LARGE', '--json')) as Record<string, unknown[]>
    expect(told['pricing']).toMatchObject([{ model_name: 'large', output_price_per_1k: '2' }])
    expect(told['tool_prices']).toHaveLength(2)
    expect(told['unpriced']).toEqual([])
  })

  test('prices calls anew, and says what changed', async () => {
    await call('large')
    await call('large')
    await call('huge')
    await said('set', ...large, '--date', '2026-02-01')
    await said('set', ...large, '--model', 'huge', '--date', '2026-02-01')
    const some = await said('rerate', '--from', '2026-02-01', '--model', 'large', '--model', 'small')
    expect(some).toMatch(
      /^From 2026-02-01T00:00:00.000Z up to \S+Z the cost of 2 calls changed: 0 USD before, 1.6 USD after\n/,
    )
    const id = some.split(', ').at(-1)
    const [record] =
      await database.owner`select by, to_json(models) as models from archon_mcp_rerates where rerate_id = ${id!}`
    expect(record).toEqual({ by: 'command line', models: ['large', 'small'] })
    expect(await said('rerate', '--from', '2026-02-01')).toContain(
      'the cost of 1 call changed: 0 USD before, 0.8 USD',
    )
    expect(await said('rerate', '--from', '2026-02-01')).toMatch(/the cost of 0 calls changed\n/)
  })

  const wrong: [args: string[], ...reasons: string[]][] = [
    [[], 'prices what?'],
    [['toString'], '"toString" is not one of list, set, sync, rerate'],
    [['list', 'all'], 'Unexpected argument "all"'],
    [['set'], '--provider: ', '--model: ', '--input: ', '--output: '],
    [
      ['set', ...large, ...typed('input=-1', 'cached=x', 'date=2026-02-30')],
      '--input: ',
      '--cached: ',
      '--date: ',
    ],
    [['set', ...typed('tool=search', 'price=', 'from=May')], '--price: ', '--from: '],
    [['set', ...typed('tool=search', 'price=1', 'provider=x')], 'Unrecognized key: "provider"'],
    [['set', ...typed('colour=red')], "Unknown option '--colour'"],
    [['rerate'], '--from: '],
    [['rerate', ...typed('from=2026-02-01', 'to=2026-01-01')], '--to: must be after from'],
    [['rerate', ...typed('from=now', 'model=')], '--from: ', '--model: '],
    [['sync', 'now'], 'Unexpected argument "now"'],
  ]
  test.each(wrong)('%j ends with 2 and says why', async (args, ...reasons) => {
    const { out, err, code } = await run(...args)
    for (const reason of reasons) expect(err).toContain(reason)
    expect({ out, code }).toEqual({ out: '', code: 2 })
  })
})

/** An optional peer. */
const hasBook = (() => {
  try {
    return createRequire(import.meta.url).resolve('@pydantic/genai-prices') !== ''
  } catch {
    return false
  }
})()

test.runIf(!hasBook)('without the price book, sync says how to install it', async () => {
  expect(await run('sync')).toEqual({
    out: '',
    err: 'The price book is not installed: npm install @pydantic/genai-prices\n',
    code: 1,
  })
})

/** The prices that were set in this file. */
const models = async () => [
  ...(await database.owner<{ model: string; input: string; output: string; cached: string | null }[]>`
    select model_name as model, trim_scale(input_price_per_1k) as input,
           trim_scale(output_price_per_1k) as output, trim_scale(cached_price_per_1k) as cached
    from archon_llm_pricing where effective_date >= '2026-01-01'`),
]

describe.runIf(hasBook)('prices sync', () => {
  test('puts the prices of the book on record, once, and under the names that were used', async () => {
    await call('claude-sonnet-4-0-by-another-name')
    const would = await said('sync', '--dry-run', '--provider', 'anthropic')
    expect(would).toMatch(/^added +Anthropic +claude-sonnet-4-0 +0\.003 \/ 0\.015 \/ 0\.0003 cached$/m)
    expect(would).toMatch(/^changed +Anthropic +claude-3-opus-20240229 .* since 2024-02-29$/m)
    expect(would).toMatch(
      / prices looked up: \d+ would be added, \d+ changed from 2\d{3}-\d\d-\d\d on, 0 kept that differ$/,
    )
    expect(await models()).toEqual([])

    const did = await said('sync', '--provider', 'anthropic', '--provider', 'OpenAI')
    const prices = await models()
    expect(prices.length).toBeGreaterThan(50)
    expect(did.split('\n').filter((line) => /^(added|changed) /.test(line))).toHaveLength(prices.length)
    expect(prices).toContainEqual({
      model: 'claude-sonnet-4-0-by-another-name',
      input: '0.003',
      output: '0.015',
      cached: '0.0003',
    })
    expect(await said('sync', '--provider', 'anthropic', '--provider', 'openai')).toMatch(
      /^\d+ prices looked up: 0 added, 0 changed /,
    )
  })

  test('knows the makers of models by itself, and says whom it does not know', async () => {
    const makers = await said('sync')
    for (const maker of ['Anthropic', 'OpenAI', 'Google', 'Mistral', 'X AI', 'Deepseek', 'Cohere'])
      expect(makers).toContain(`added    ${maker} `)
    const { err, code } = await run('sync', '--provider', 'nobody')
    expect(err).toContain('The price book has no provider "nobody": it knows anthropic, ')
    expect(code).toBe(2)
  })
})
