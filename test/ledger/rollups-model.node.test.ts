import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { CLI_ACTOR } from '../../src/audit.ts'
import { connect, type Sql } from '../../src/db/client.ts'
import { createLedger } from '../../src/ledger/ledger.ts'
import type { CallToClose, Ledger, UsageLine } from '../../src/ledger/types.ts'
import { createSessionManager, type SessionManager } from '../../src/sessions/session-manager.ts'
import { rerate } from '../../src/usage/rerate.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callerNamed, callOf, derived, requestBy, success } from '../support/ledger.ts'
import { beyondCalls } from '../support/rollups.ts'

// Whatever happens to calls, the roll-ups are what the calls add up to. Events of a step happen at once, on four
// instances with two connections each, so that they also meet.

const SEED = process.env['SEED'] === undefined ? {} : { seed: Number(process.env['SEED']) }
const RUNS = Number(process.env['RUNS'] ?? 3)

/** Just before midnight in UTC: steps of the same run lie in two days. */
const START = Date.parse('2026-03-10T23:40:00Z')
const MODELS = ['cheap', 'dear', 'unheard-of']
const TOOLS = ['search', 'report', 'unpriced']

type Event =
  | { do: 'admit'; who: number; tools: number[]; inSession: boolean; initialize: boolean; hold: number }
  | { do: 'close'; which: number; usage: number[]; told: boolean; texts: boolean; how: number }
  | { do: 'price' | 'rerate' | 'sweep' | 'move' | 'end session' | 'check' | 'rebuild' }
  | { do: 'foreign' | 'foreign change' | 'foreign deletion' | 'correct' | 'delete session'; which: number }

const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('admit' as const),
      who: fc.nat(4),
      tools: fc.array(fc.nat(2), { minLength: 1, maxLength: 3 }),
      inSession: fc.boolean(),
      initialize: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
      hold: fc.constantFrom(30, 3000),
    }),
  },
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constant('close' as const),
      which: fc.nat(200),
      usage: fc.uniqueArray(fc.nat(2), { maxLength: 3 }),
      told: fc.boolean(),
      texts: fc.boolean(),
      how: fc.nat(5),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('price', 'rerate', 'sweep', 'sweep', 'move', 'end session', 'check', 'rebuild'),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'foreign',
        'foreign',
        'foreign change',
        'foreign deletion',
        'correct',
        'delete session',
      ),
      which: fc.nat(200),
    }),
  },
)

let database: TestDatabase
let clients: Sql[]
let now: Date
let ledgers: Ledger[]
let sessions: SessionManager
beforeAll(async () => {
  database = await createTestDatabase()
  clients = Array.from({ length: 4 }, () => connect(database.url, { max: 2 }))
  ledgers = clients.map((sql) => createLedger(sql, { now: () => now, closeDelayMs: 0 }))
  sessions = createSessionManager(database.sql, { now: () => now })
})
afterAll(async () => {
  await Promise.all(clients.map((sql) => sql.end({ timeout: 1 })))
  await database[Symbol.asyncDispose]()
})

class World {
  private readonly open: string[] = []
  private departments: (string | null)[] = ['Sales', 'Sales', 'Research', null]
  private moves = 0
  private price = 1

  private async caller(who: number) {
    if (who === 4) return null
    const issuedAt = new Date(START + 1000 * this.moves)
    return await callerNamed(`user-${who}`, { department: this.departments[who]!, issuedAt })
  }

  async run(event: Event, ledger: Ledger): Promise<void> {
    const { sql, owner } = database
    switch (event.do) {
      case 'admit': {
        const calls = event.tools.map((tool) =>
          callOf({
            ...(event.initialize ? { method: 'initialize', tool: null } : { tool: TOOLS[tool]! }),
            holdSeconds: event.hold,
            estimate: { tokens: 5, cost: '0.0000000007' },
          }),
        )
        const session = event.inSession ? derived(['Cursor', 'Claude'][event.who % 2]!) : null
        const verdict = await ledger.admit(requestBy(await this.caller(event.who), { session, calls }))
        if (verdict.admitted) this.open.push(...calls.map(({ id }) => id))
        return
      }
      case 'close':
        // Some are closed twice, and some when the sweep has been there.
        return await ledger.close(this.ended(event))
      case 'price':
        this.price += 1
        await sql`
          insert into archon_llm_pricing (provider, model_name, input_price_per_1k, output_price_per_1k, effective_date)
          values ('Test', ${MODELS[this.price % 2]!}, ${`0.${this.price}000001`}, 0.0000003, '2026-03-01')
          on conflict (model_name, provider, effective_date) do update
          set input_price_per_1k = excluded.input_price_per_1k`
        await sql`
          insert into archon_mcp_tool_prices (tool_name, price, effective_at)
          values (${TOOLS[this.price % 2]!}, ${`0.0${this.price}`}, '2026-03-01Z')
          on conflict (tool_name, effective_at) do update set price = excluded.price`
        return
      case 'rerate':
        await rerate(
          sql,
          { from: new Date(START - 86_400_000), to: new Date(START + 86_400_000), models: null },
          CLI_ACTOR,
        )
        return
      case 'sweep':
        await sessions.sweep(now)
        return
      case 'move':
        this.moves += 1
        this.departments = [...this.departments.slice(1), this.departments[0]!]
        return
      case 'end session':
        await sql`
          update archon_mcp_sessions set status = 'disconnected' where session_id = (
            select session_id from archon_mcp_sessions where disconnected_at is null order by session_id limit 1
          )`
        return
      case 'check':
        // Of one moment, also while others write.
        expect(await beyondCalls(sql)).toEqual([])
        return
      case 'rebuild':
        await sql`select archon_mcp_rebuild_rollups()`
        return
      case 'foreign':
        await sql`
          insert into archon_mcp_sessions (session_id, client_type, user_id, connected_at, last_activity)
          values (md5('theirs ' || ${event.which % 3}::integer)::uuid, 'Claude Code', md5('a user')::uuid, ${now}, ${now})
          on conflict do nothing`
        await sql`
          insert into archon_mcp_requests
            (session_id, method, tool_name, prompt_tokens, completion_tokens, estimated_cost, timestamp, duration_ms, status)
          select md5('theirs ' || ${event.which % 3}::integer)::uuid, 'tools/call', 'search', n * 7, null, 0.25, ${now},
                 n * 100, case n when 2 then 'error' else 'success' end
          from generate_series(1, ${1 + (event.which % 3)}::integer) as n`
        return
      case 'foreign change':
        await sql`
          update archon_mcp_requests set estimated_cost = 0.5, status = 'error', duration_ms = null, completion_tokens = 3
          where kind is null and prompt_tokens = ${7 * (1 + (event.which % 3))}`
        return
      case 'foreign deletion':
        await sql`delete from archon_mcp_requests where kind is null and prompt_tokens = ${7 * (1 + (event.which % 3))}`
        return
      case 'correct':
        await owner`
          update archon_mcp_requests set cost = cost + 1, tool_name = 'corrected' where request_id = ${this.pick(event.which)}`
        return
      case 'delete session':
        await owner`
          delete from archon_mcp_sessions where session_id = (
            select session_id from archon_mcp_sessions order by session_id offset ${event.which % 10}::integer limit 1
          )`
    }
  }

  private pick(which: number): string {
    return this.open[which % Math.max(this.open.length, 1)] ?? crypto.randomUUID()
  }

  private ended({ which, usage, told, texts, how }: Event & { do: 'close' }): CallToClose {
    const lines = usage.map((model, at): UsageLine => ({
      model: MODELS[model]!,
      promptTokens: 10 * at + model,
      completionTokens: 3 + at,
      cachedTokens: model,
      reasoningTokens: at,
      ...(told ? { cost: `0.00000${model}1` } : {}),
    }))
    return success(this.pick(which), {
      usage: lines,
      counted: texts ? { promptTokens: 4, completionTokens: 2 } : undefined,
      durationMs: 17 ** how,
      ...(how === 4 ? { status: 'error', error: 'it failed' } : {}),
      round: how === 5,
    })
  }
}

it('four instances and other writers keep the roll-ups the sum of the calls, at every step', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(event, { minLength: 20, maxLength: 30, size: 'max' }), {
        minLength: 8,
        maxLength: 12,
        size: 'max',
      }),
      async (steps) => {
        await database.owner`truncate archon_mcp_rebuilds`
        await database.owner`truncate archon_mcp_requests, archon_mcp_sessions, archon_mcp_tool_prices cascade`
        const world = new World()
        now = new Date(START)
        for (const events of steps) {
          const isDeletion = (event: Event) => event.do === 'delete session'
          await Promise.all(
            events
              .filter((event) => !isDeletion(event))
              .map((event, at) => world.run(event, ledgers[at % 4]!)),
          )
          // Of a session that goes meanwhile no call can be admitted.
          for (const event of events.filter(isDeletion)) await world.run(event, ledgers[0]!)
          await Promise.all(ledgers.map((ledger) => ledger.drained()))
          expect(await beyondCalls(database.sql)).toEqual([])
          now = new Date(now.getTime() + 4 * 60_000)
        }
        const [whole] = await database.sql`
          select (select count(*) from archon_mcp_requests where status <> 'open') as calls,
                 (select sum(case when kind is null then estimated_cost else cost end) from archon_mcp_requests where status <> 'open') as cost`
        // Nothing was ever wrong that a rebuild would have set right.
        expect([...(await database.sql`select * from archon_mcp_rebuilds`)]).toEqual([])
        for (const table of ['user_days', 'quarters', 'tool_days']) {
          const [rolled] = await database.sql.unsafe(
            `select coalesce(sum(calls), 0) as calls, trim_scale(sum(cost)) as cost from archon_mcp_${table}`,
          )
          expect(rolled!['calls'], table).toBe(whole!['calls'])
          expect(Number(rolled!['cost']), table).toBe(Number(whole!['cost']))
        }
      },
    ),
    { numRuns: RUNS, endOnFailure: process.env['SHRINK'] === undefined, ...SEED },
  )
}, 120_000)
