import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { CLI_ACTOR } from '../../src/audit.ts'
import { changeUser } from '../../src/auth/users.ts'
import { inTransaction } from '../../src/db/transaction.ts'
import { createLedger } from '../../src/ledger/ledger.ts'
import type { CallToClose } from '../../src/ledger/types.ts'
import { SUMS } from '../../src/reports/call-sums.ts'
import { reportedClientType } from '../../src/reports/client-types.ts'
import { costLines, costLinesOf } from '../../src/reports/cost-csv.ts'
import { COST_GROUPS, type CostGroup, type CostReport, costsBy } from '../../src/reports/costs.ts'
import { type Period, periodOf } from '../../src/reports/period.ts'
import { putModelPrice } from '../../src/usage/prices.ts'
import { rerate } from '../../src/usage/rerate.ts'
import type { ReportReader } from '../../src/reports/visible-to.ts'
import { parseTable } from '../support/csv.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { DEEP, patience } from '../support/deep.ts'
import { callerNamed, callOf, derived, requestBy, success } from '../support/ledger.ts'

// Random calls, recorded by the ledger and by another writer; then a slow, obvious picture of each report, made from
// the rows one by one with BigInt and Intl, held against what SQL says.

const SEED = process.env['SEED'] === undefined ? { seed: 20_261_001 } : { seed: Number(process.env['SEED']) }
const RUNS = Number(process.env['RUNS'] ?? (DEEP ? 100 : 6))

const ZONES = [
  'UTC',
  'America/New_York',
  'America/St_Johns',
  'Europe/Berlin',
  'Asia/Kolkata',
  'Asia/Kathmandu',
  'Pacific/Chatham',
  'Australia/Lord_Howe',
]
/** Clocks change in five of the eight. */
const FROM = '2026-03-05'
const TO = '2026-04-08'
const CHANGES = [
  '2026-03-08T05:30:00Z', // St John's, forward
  '2026-03-08T07:00:00Z', // New York, forward
  '2026-03-29T01:00:00Z', // Berlin, forward
  '2026-04-04T14:00:00Z', // Chatham, back
  '2026-04-04T15:00:00Z', // Lord Howe, back by half an hour
  '2026-03-05T00:00:00Z', // the edges
  '2026-04-08T00:00:00Z',
].map((text) => Date.parse(text))

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
  await database.owner`
    insert into archon_mcp_tool_prices (tool_name, effective_at, price) values ('search', '2026-01-01', 0.0000000003)`
})
afterAll(() => database[Symbol.asyncDispose]())

const NAMES = ['ann', 'bob', 'cyd'] as const
const tokens = fc.integer({ min: 0, max: 5000 })
const line = fc.record({
  model: fc.constantFrom('gpt-4o', 'gpt-4o-mini', 'mystery', 'claude-3-haiku-20240307'),
  promptTokens: tokens,
  completionTokens: tokens,
  cost: fc.constantFrom(undefined, undefined, '0.0000000001', '1.9999999999', '12.3'),
})
const event = fc.record({
  at: fc
    .tuple(fc.constantFrom(...CHANGES), fc.oneof(fc.constant(0), fc.integer({ min: -100_000, max: 100_000 })))
    .map(([change, seconds]) => new Date(change + seconds * 1000)),
  who: fc.constantFrom(...NAMES, null),
  department: fc.constantFrom(undefined, 'sales', 'research', null),
  client: fc.constantFrom('Claude Code', 'Cursor', 'homemade', null),
  call: fc.constantFrom({ tool: 'search' }, { tool: 'echo' }, { tool: null, method: 'tools/list' }),
  /** More calls of the same, in one request. */
  batch: fc.constantFrom(1, 1, 1, 3),
  /** What 1,000 tokens of a model cost from that day on. */
  price: fc.option(
    fc.record({
      model: fc.constantFrom('gpt-4o', 'mystery', 'gpt-4o-mini'),
      usd: fc.constantFrom('0', '0.0000001', '3.3333333333', '0.25'),
    }),
    { freq: 4, nil: null },
  ),
  end: fc.constantFrom(
    'success',
    'success',
    'success',
    'error',
    'cancelled',
    'open',
    'sweep',
    'late',
    'foreign',
    'foreign',
  ),
  usage: fc.array(line, { maxLength: 3 }),
  counted: fc.option(fc.record({ promptTokens: tokens, completionTokens: tokens }), { nil: undefined }),
})
type Event = typeof event extends fc.Arbitrary<infer T> ? T : never

/** Archon's way: a row for each call, of the session's user, with a rounded cost and perhaps no tokens. */
async function writeForeign({ at, who, client, call, usage }: Event): Promise<void> {
  const userId = who === null ? null : (await callerNamed(who)).firstId
  const [session] = await database.owner<[{ session_id: string }]>`
    insert into archon_mcp_sessions (user_id, client_type, connected_at, last_activity)
    values (${userId}, ${client ?? 'Unknown'}, ${at}, ${at})
    returning session_id`
  const [row] = await database.owner<[{ request_id: string }]>`
    insert into archon_mcp_requests
      (session_id, method, tool_name, timestamp, prompt_tokens, completion_tokens, status)
    values (${session.session_id}, ${call.method ?? 'tools/call'}, ${call.tool}, ${at},
      ${usage[0]?.promptTokens ?? null}, ${usage[1]?.completionTokens ?? null},
      ${usage.length === 3 ? 'timeout' : 'success'})
    returning request_id`
  // What it writes later no trigger takes over.
  await database.owner`
    update archon_mcp_requests set estimated_cost = ${usage.length === 0 ? null : '0.123456'}
    where request_id = ${row.request_id}`
}

/** What a call of an event is closed with: a stream that is cancelled has used something by then, and failed. */
function ended({ end, usage, counted }: Event, id: string): CallToClose {
  const texts = usage.length === 0 ? counted : undefined
  if (end === 'cancelled')
    return success(id, {
      status: 'error',
      error: 'cancelled: the client left before the result',
      usage: usage.slice(0, 1),
    })
  return success(id, { status: end === 'error' ? 'error' : 'success', usage, counted: texts })
}

async function live(events: readonly Event[]): Promise<void> {
  let now = new Date(0)
  const ledger = createLedger(database.sql, { now: () => now, closeDelayMs: 0 })
  for (const each of events.toSorted((a, b) => a.at.getTime() - b.at.getTime())) {
    const { at, who, department, client, call, batch, price, end } = each
    now = at
    const caller = who === null ? null : await callerNamed(who)
    if (caller !== null && department !== undefined)
      await changeUser(database.sql, caller.firstId, { department }, CLI_ACTOR)
    if (price !== null) {
      const { model, usd } = price
      const effectiveDate = at.toISOString().slice(0, 10)
      const figures = { input: usd, output: usd, cached: null, notes: null }
      await putModelPrice(database.sql, { provider: 'Test', model, effectiveDate, ...figures }, CLI_ACTOR)
    }
    if (end === 'foreign') {
      await writeForeign(each)
      continue
    }
    const calls = Array.from({ length: batch }, () =>
      callOf({ ...call, estimate: { tokens: 700, cost: '0.07' }, holdSeconds: 1 }),
    )
    const session = client === null || caller === null ? null : derived(client)
    const verdict = await ledger.admit(requestBy(caller, { calls, session }))
    expect(verdict.admitted).toBe(true)
    if (end === 'sweep' || end === 'late')
      await database.sql`select archon_mcp_sweep(${new Date(at.getTime() + 5000)}, 500)`
    if (end !== 'open' && end !== 'sweep')
      await Promise.all(calls.map(({ id }) => ledger.close(ended(each, id))))
  }
}

interface Raw {
  request_id: string
  user_id: string | null
  department: string | null
  client_type: string | null
  tool_name: string | null
  method: string
  timestamp: Date
  status: string
  prompt_tokens: number
  completion_tokens: number
  cost: string
  unpriced: boolean
  estimated: boolean
}
interface RawLine {
  request_id: string
  model: string
  prompt_tokens: number
  completion_tokens: number
  cost: string
  unpriced: boolean
}

/** Ten decimals, as a whole number. */
const units = (cost: string): bigint => {
  const [whole = '', part = ''] = cost.split('.')
  return BigInt(whole + part.padEnd(10, '0'))
}

type Sums = Record<(typeof SUMS)[number], bigint>
const NOTHING = Object.fromEntries(SUMS.map((name) => [name, 0n])) as Sums
const plus = (a: Sums, b: Sums): Sums =>
  Object.fromEntries(SUMS.map((name) => [name, a[name] + b[name]])) as Sums

function sumsOf(
  call: Raw,
  part: Omit<RawLine, 'request_id' | 'model'> = call,
  estimated = call.estimated,
): Sums {
  const ok = call.status === 'success'
  return {
    calls: 1n,
    success: ok ? 1n : 0n,
    errors: ok ? 0n : 1n,
    prompt_tokens: BigInt(part.prompt_tokens),
    completion_tokens: BigInt(part.completion_tokens),
    total_tokens: BigInt(part.prompt_tokens + part.completion_tokens),
    cost: units(part.cost),
    unpriced_calls: part.unpriced ? 1n : 0n,
    estimated_calls: estimated ? 1n : 0n,
  }
}

const clocks = new Map<string, Intl.DateTimeFormat>()
/** What clocks show: `2026-03-08 01:59`. */
function clock(at: number, timezone: string): string {
  const known = clocks.get(timezone)
  const format =
    known ?? new Intl.DateTimeFormat('sv-SE', { timeZone: timezone, dateStyle: 'short', timeStyle: 'short' })
  clocks.set(timezone, format)
  return format.format(at)
}

function hourOf(at: Date, timezone: string): string {
  let minute = Math.floor(at.getTime() / 60_000) * 60_000
  while (!clock(minute, timezone).endsWith(':00')) minute -= 60_000
  return new Date(minute).toISOString()
}

const KEYS: Record<Exclude<CostGroup, 'model'>, (call: Raw, timezone: string) => string | null> = {
  user: ({ user_id }) => user_id,
  department: ({ department }) => department,
  client: ({ client_type }) => reportedClientType(client_type ?? ''),
  tool: ({ tool_name, method }) => tool_name ?? method,
  day: ({ timestamp }, timezone) => clock(timestamp.getTime(), timezone).slice(0, 10),
  hour: ({ timestamp }, timezone) => hourOf(timestamp, timezone),
}

type Picture = Map<string | null, Sums>
const add = (picture: Picture, key: string | null, sums: Sums): void =>
  void picture.set(key, plus(picture.get(key) ?? NOTHING, sums))

function picture(group: CostGroup, timezone: string, calls: Raw[], lines: RawLine[]): Picture {
  const rows: Picture = new Map()
  for (const call of calls) {
    if (group !== 'model') {
      add(rows, KEYS[group](call, timezone), sumsOf(call))
      continue
    }
    const own = lines.filter(({ request_id }) => request_id === call.request_id)
    for (const each of own) add(rows, each.model, sumsOf(call, each, false))
    const sum = own.reduce((total, each) => plus(total, sumsOf(call, each, false)), NOTHING)
    const rest = {
      ...sumsOf(call),
      prompt_tokens: BigInt(call.prompt_tokens) - sum.prompt_tokens,
      completion_tokens: BigInt(call.completion_tokens) - sum.completion_tokens,
      total_tokens: BigInt(call.prompt_tokens + call.completion_tokens) - sum.total_tokens,
      cost: units(call.cost) - sum.cost,
      unpriced_calls: call.unpriced && sum.unpriced_calls === 0n ? 1n : 0n,
    }
    if (own.length === 0 || rest.cost !== 0n || rest.total_tokens !== 0n) add(rows, null, rest)
  }
  return rows
}

const told = (row: object): Sums =>
  Object.fromEntries(
    Object.entries(row)
      .filter(([name]) => SUMS.some((sum) => sum === name))
      .map(([name, value]: [string, string | number]) => [
        name,
        name === 'cost' ? units(`${value}`) : BigInt(value),
      ]),
  ) as Sums

/** Days and hours without a call are told too. */
const pictureOf = ({ rows }: CostReport): Picture =>
  new Map(rows.filter(({ calls }) => calls > 0).map((row) => [row.key, told(row)]))

async function rowsOf(period: Period): Promise<[Raw[], RawLine[]]> {
  const { start, end } = period
  return await Promise.all([
    database.sql<Raw[]>`
      select call.request_id, call.user_id, call.department, call.client_type, call.tool_name, call.method,
             call.timestamp, call.status, coalesce(call.prompt_tokens, 0) as prompt_tokens,
             coalesce(call.completion_tokens, 0) as completion_tokens, call.unpriced, call.estimated,
             case when call.kind is null then coalesce(call.estimated_cost, 0) else call.cost end as cost
      from archon_mcp_requests as call
      where call.status <> 'open' and call.timestamp >= ${start} and call.timestamp < ${end}`,
    database.sql<RawLine[]>`select * from archon_mcp_usage`,
  ])
}

async function textOf(lines: AsyncIterable<string>): Promise<string> {
  let text = ''
  for await (const each of lines) text += each
  return text
}

async function check(timezone: string): Promise<void> {
  const period = await periodOf(database.sql, { from: FROM, to: TO, timezone })
  const [calls, lines] = await rowsOf(period)
  const admin = { role: 'admin', userId: null, department: null } as const
  const raw = calls.reduce((total, call) => plus(total, sumsOf(call)), NOTHING)
  await Promise.all(
    COST_GROUPS.map(async (group) => {
      const report = await costsBy(database.sql, admin, group, period)
      const rows = pictureOf(report)
      expect(rows, group).toEqual(picture(group, timezone, calls, lines))
      expect(told(report.total), group).toEqual(raw)
      const sum = [...rows.values()].reduce(plus, NOTHING)
      if (group === 'model') {
        expect(sum.calls >= raw.calls).toBe(true)
        expect({ ...raw, cost: sum.cost, total_tokens: sum.total_tokens }).toEqual(raw)
      } else expect(sum, group).toEqual(raw)

      const text = await textOf(costLines(report))
      const read: ReportReader = (run) =>
        inTransaction(database.sql, (db) => run(db, admin), { readOnly: true })
      expect(await textOf(costLinesOf(read, group, period))).toBe(text)
      const table = parseTable(text)
      expect(table.rows.map(told)).toEqual(report.rows.map(told))
      expect(table.rows.map(({ key, cost }) => [key, cost])).toEqual(
        report.rows.map(({ key, cost }) => [key ?? '', cost]),
      )
      expect(told(table.total)).toEqual(raw)
      expect(table.period.slice(0, 4)).toEqual(['Period', report.period.start, report.period.end, timezone])
    }),
  )
}

/** Roll-ups that are not the sum of their calls. */
const differences = async (): Promise<unknown[]> => [
  ...(await database.sql`select * from archon_mcp_check_rollups()`),
]

it(
  'is the same sum by every group and in every zone, to the last digit, and the CSV says it too',
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(event, { minLength: 10, maxLength: 60 }),
        fc.boolean(),
        async (events, anew) => {
          await database.owner`truncate archon_mcp_requests, archon_mcp_sessions, archon_mcp_users cascade`
          await database.owner`delete from archon_llm_pricing where provider = 'Test'`
          await live(events)
          // Prices of a day hold for the calls that it had before, too.
          if (anew)
            await rerate(database.sql, { from: new Date(FROM), to: new Date(TO), models: null }, CLI_ACTOR)
          expect(await differences()).toEqual([])
          for (const timezone of ZONES) await check(timezone)
        },
      ),
      { ...SEED, numRuns: RUNS, endOnFailure: true },
    )
  },
  patience + RUNS * 5000,
)
