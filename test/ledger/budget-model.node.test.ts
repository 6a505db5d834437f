import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createLedger } from '../../src/ledger/ledger.ts'
import { createRefusalMemory } from '../../src/ledger/refusal-memory.ts'
import { runLedger } from '../../src/ledger/statement.ts'
import type {
  AdmissionRequest,
  Ledger,
  LedgerCaller,
  QuotaMetric,
  QuotaScope,
  QuotaWindow,
} from '../../src/ledger/types.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callerNamed, callOf, requestBy, success, JUDGED } from '../support/ledger.ts'
import { differences, putQuota, removeQuota } from '../support/quotas.ts'
import { beyondCalls } from '../support/rollups.ts'

// A slow, obvious picture of the ledger's budgets, held against two instances on one database. Sequences of events
// are lived through side by side: each in a world of its own, with its own users, departments and tools.

const SEED = process.env['SEED'] === undefined ? {} : { seed: Number(process.env['SEED']) }
const SEQUENCES = Number(process.env['RUNS'] ?? 2000)
const WORLDS = 100

const START = Date.parse('2026-03-10T23:50:00Z')
const LENGTHS = { minute: 60_000, hour: 3_600_000, day: 86_400_000, week: 7 * 86_400_000 }
/** Costs are counted in whole hundredths of a cent. */
const dollars = (cost: number): string => (cost / 10_000).toFixed(4)

/** What the calls of this model report has a price: see test/usage/unpriced-quota.test.ts for what has none. */
type Metric = Exclude<QuotaMetric, 'unpriced'>

interface ModelQuota {
  id: string
  scope: QuotaScope
  subject: string | null
  metric: Metric
  window: QuotaWindow
  limit: number
  tools: string[] | null
  models: string[] | null
  mode: 'observe' | 'warn' | 'enforce'
}

interface Amounts {
  requests: number
  tokens: number
  cost: number
}

interface ModelCall {
  id: string
  /** The request it came with, to be sent again. */
  request: AdmissionRequest
  user: string | null
  department: string | null
  tool: string | null
  at: number
  estimate: Amounts
  expires: number
  /** Null while it is open. */
  used: (Amounts & { models: Map<string, Amounts> }) | null
  /** Closed by the sweep: a late end corrects it. */
  expired: boolean
}

/** Of UTC, without an anchor: test/limits/windows.node.test.ts is about calendars. */
const windowAt = (window: QuotaWindow, at: number): { start: number; end: number } => {
  if (window === 'total') return { start: -Infinity, end: Infinity }
  if (window === 'month') {
    const [year, month] = [new Date(at).getUTCFullYear(), new Date(at).getUTCMonth()]
    return { start: Date.UTC(year, month), end: Date.UTC(year, month + 1) }
  }
  const monday = Date.UTC(1970, 0, 5)
  const start = at - ((at - monday) % LENGTHS[window])
  return { start, end: start + LENGTHS[window] }
}

const sum = (amounts: number[]): number => amounts.reduce((total, amount) => total + amount, 0)

/** Two quotas that agree in all of this are one. */
const identity = ({ scope, subject, metric, window, tools, models }: Omit<ModelQuota, 'id'>): string =>
  JSON.stringify([scope, subject, metric, window, tools, models])

const limitOf = ({ metric, limit }: Omit<ModelQuota, 'id'>): number | string =>
  metric === 'cost' ? dollars(limit) : limit

/** What should be true: the calls, the quotas, and nothing that has to be kept in step with them. */
class Model {
  quotas: ModelQuota[] = []
  calls: ModelCall[] = []
  /** By quota, user and whether it was enforced. */
  refused = new Map<string, number>()

  /** The holder of a quota that counts this call, or null. */
  holder(
    quota: ModelQuota,
    { user, department, tool }: Pick<ModelCall, 'user' | 'department' | 'tool'>,
  ): string | null {
    if (quota.tools !== null && (tool === null || !quota.tools.includes(tool))) return null
    const personal = quota.scope === 'user' || quota.scope === 'each_user'
    if (quota.scope === 'everyone') return 'everyone'
    const whom = personal ? user : department
    if (whom === null) return null
    if (quota.subject !== null) return quota.subject === whom ? `${quota.scope} ${whom}` : null
    const scope = personal ? 'user' : 'department'
    const own = identity({ ...quota, scope, subject: whom })
    return this.quotas.some((each) => identity(each) === own) ? null : `${scope} ${whom}`
  }

  /** Where a holder stands in the window that begins at a moment. */
  standing(quota: ModelQuota, holder: string, start: number) {
    const inWindow = this.calls.filter(
      (call) =>
        // What a client needs to connect is charged to nobody.
        call.estimate.requests > 0 &&
        this.holder(quota, call) === holder &&
        windowAt(quota.window, call.at).start === start,
    )
    const spent = inWindow.filter(({ used }) => used !== null)
    const amount = ({ used }: ModelCall): number => {
      if (quota.models === null) return used![quota.metric]
      const lines = quota.models.map((model) => used!.models.get(model)).filter((line) => line !== undefined)
      return quota.metric === 'requests'
        ? Math.min(lines.length, used!.requests)
        : sum(lines.map((line) => line[quota.metric]))
    }
    const over =
      quota.models === null
        ? spent.map((call) => amount(call) - call.estimate[quota.metric]).filter((by) => by > 0)
        : []
    return {
      used: sum(spent.map(amount)),
      held:
        quota.models === null
          ? sum(inWindow.filter(({ used }) => used === null).map(({ estimate }) => estimate[quota.metric]))
          : 0,
      excess: sum(over),
      excess_calls: over.length,
    }
  }

  /** Takes the calls of a request all together, or says which quotas are in the way and how long one has to wait. */
  admit(calls: ModelCall[]): { refusing: string[]; waitMs: number } {
    const counted = calls.filter(({ estimate }) => estimate.requests > 0)
    const refusing: string[] = []
    let waitMs = 0
    for (const quota of this.quotas) {
      const counts = counted.filter((call) => this.holder(quota, call) !== null)
      if (counts.length === 0) continue
      const { start, end } = windowAt(quota.window, counts[0]!.at)
      const { used, held } = this.standing(quota, this.holder(quota, counts[0]!)!, start)
      const need = quota.models === null ? sum(counts.map(({ estimate }) => estimate[quota.metric])) : 0
      const left = quota.limit - used - held
      if (left > 0 && need <= left) continue
      const enforced = quota.mode === 'enforce'
      if (enforced) {
        refusing.push(quota.id)
        const comesFree = used < quota.limit && used + need <= quota.limit
        const never = need > quota.limit
        waitMs = Math.max(waitMs, never ? Infinity : comesFree ? 1000 : end - counts[0]!.at)
      } else this.refuse(quota.id, calls[0]!.user, false, counted.length)
    }
    if (refusing.length === 0) this.calls.push(...calls)
    return { refusing, waitMs }
  }

  refuse(quota: string, user: string | null, enforced: boolean, calls: number): void {
    const key = `${quota} ${user} ${enforced}`
    this.refused.set(key, (this.refused.get(key) ?? 0) + calls)
  }

  sweep(now: number): void {
    for (const call of this.calls.filter(({ used, expires }) => used === null && expires < now)) {
      call.used = { ...call.estimate, models: new Map() }
      call.expired = true
    }
  }
}

// Events, as they are drawn: numbers that say which of what is there.

interface QuotaDraw {
  scope: QuotaScope
  whom: number
  metric: Metric
  window: QuotaWindow
  limit: number
  tools: 0 | 1 | 2
  models: boolean
  mode: ModelQuota['mode']
}
type Event =
  | {
      do: 'admit'
      who: number
      calls: { method: string; tool: number; tokens: number; cost: number; hold: number }[]
    }
  | { do: 'close'; which: number; usage: { model: string; tokens: number; cost: number }[]; round: boolean }
  | { do: 'again' | 'renew' | 'remove'; which: number }
  | { do: 'put'; quota: QuotaDraw }
  | { do: 'move'; who: number }

const amounts = { tokens: fc.nat(30), cost: fc.nat(30) }
const often = <T>(value: T, ...others: T[]) =>
  fc.oneof(
    { weight: 6, arbitrary: fc.constant(value) },
    { weight: 1, arbitrary: fc.constantFrom(value, ...others) },
  )
const quotaDraw: fc.Arbitrary<QuotaDraw> = fc.record({
  scope: fc.constantFrom<QuotaScope>('user', 'department', 'everyone', 'each_user', 'each_department'),
  whom: fc.nat(2),
  metric: fc.constantFrom<Metric>('requests', 'tokens', 'cost'),
  window: fc.constantFrom<QuotaWindow>('minute', 'hour', 'day', 'week', 'month', 'total'),
  limit: fc.nat(60),
  tools: fc.constantFrom(0, 1, 2),
  models: often(false, true),
  mode: often<ModelQuota['mode']>('enforce', 'observe', 'warn'),
})
const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('admit' as const),
      who: fc.nat(3),
      calls: fc.array(
        fc.record({
          method: often('tools/call', 'initialize'),
          tool: fc.nat(2),
          ...amounts,
          hold: fc.constantFrom(30, 300),
        }),
        { minLength: 1, maxLength: 3 },
      ),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('close' as const),
      which: fc.nat(20),
      usage: fc.uniqueArray(fc.record({ model: fc.constantFrom('large', 'small'), ...amounts }), {
        maxLength: 2,
        selector: ({ model }) => model,
      }),
      round: often(false, true),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('again' as const, 'renew' as const, 'remove' as const),
      which: fc.nat(20),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('put' as const), quota: quotaDraw }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('move' as const), who: fc.nat(2) }) },
)
const sequence = fc.record({
  quotas: fc.array(quotaDraw, { maxLength: 3 }),
  events: fc.array(event, { maxLength: 15, size: 'max' }),
})
/** What happens to all of them between their events: windows end, and holds. */
const between = fc.record({
  waitMs: fc.oneof(fc.constant(0), fc.nat(20_000), fc.nat(20_000), fc.nat(4_000_000)),
  sweep: fc.boolean(),
})

let database: TestDatabase
let now: Date
let ledgers: Ledger[]
beforeAll(async () => {
  database = await createTestDatabase({ max: 6 })
  // Refusals are asked for each time: what an instance remembers may be out of date, as it should.
  ledgers = [0, 1].map(() =>
    createLedger(database.sql, { now: () => now, closeDelayMs: 0, memory: createRefusalMemory(0) }),
  )
})
afterAll(() => database[Symbol.asyncDispose]())

/** One sequence of events, in the model and in the database. */
class World {
  readonly model = new Model()
  private readonly name: string
  private readonly callers: (LedgerCaller | null)[]

  private constructor(name: string, callers: (LedgerCaller | null)[]) {
    this.name = name
    this.callers = callers
  }

  static async named(name: string): Promise<World> {
    const departments = [`Sales ${name}`, `Sales ${name}`, null]
    const users = departments.map((department, at) => callerNamed(`user-${name}-${at}`, { department }))
    return new World(name, [...(await Promise.all(users)), null])
  }

  private tools(count: 0 | 1 | 2): string[] | null {
    return count === 0 ? null : ['a', 'b'].slice(0, count).map((tool) => `${tool}-${this.name}`)
  }

  async run(event: Event, ledger: Ledger): Promise<void> {
    const { model } = this
    const call = 'which' in event ? model.calls[event.which % Math.max(model.calls.length, 1)] : undefined
    switch (event.do) {
      case 'admit':
        return await this.admit(event, ledger)
      case 'put':
        return await this.put(event.quota)
      case 'remove': {
        const quota = model.quotas[event.which % Math.max(model.quotas.length, 1)]
        if (quota === undefined) return
        await removeQuota(database.sql, quota.id)
        model.quotas = model.quotas.filter((each) => each !== quota)
        return
      }
      case 'move': {
        const caller = this.callers[event.who]!
        const department = caller.department === null ? `Sales ${this.name}` : null
        this.callers[event.who] = {
          ...caller,
          department,
          issuedAt: new Date(caller.issuedAt!.getTime() + 1000),
        }
        return
      }
      case 'again': {
        if (call === undefined) return
        const group = { requests: [call.request], closes: [], refusals: [] }
        expect(await runLedger(database.sql, group, { again: true, now })).toMatchObject([{ admitted: true }])
        return
      }
      case 'renew':
        if (call === undefined) return
        await ledger.renew([{ id: call.id, holdSeconds: 100 }])
        // Never sooner than before: a tool may hold its call for longer than its stream asks for.
        if (call.used === null) call.expires = Math.max(call.expires, now.getTime() + 100_000)
        return
      case 'close': {
        if (call === undefined) return
        const usage = event.usage.map(({ model, tokens, cost }) => {
          const promptTokens = Math.floor(tokens / 2)
          return { model, promptTokens, completionTokens: tokens - promptTokens, cost: dollars(cost) }
        })
        await ledger.close(success(call.id, { usage, round: event.round }))
        if (call.used !== null && !call.expired) return
        const requests = event.round ? 0 : call.estimate.requests
        const models = new Map(
          event.usage.map(({ model, tokens, cost }) => [model, { requests, tokens, cost }]),
        )
        call.used = {
          requests,
          tokens: sum(event.usage.map(({ tokens }) => tokens)),
          cost: sum(event.usage.map(({ cost }) => cost)),
          models,
        }
        call.expired = false
      }
    }
  }

  private async admit({ who, calls }: Event & { do: 'admit' }, ledger: Ledger): Promise<void> {
    const caller = this.callers[who]!
    const request = requestBy(caller, {
      quotas: JUDGED,
      calls: calls.map(({ method, tool, tokens, cost, hold }) =>
        callOf({
          method,
          tool: ['a', 'b', 'other'].map((each) => `${each}-${this.name}`)[tool]!,
          holdSeconds: hold,
          estimate: { tokens, cost: dollars(cost) },
        }),
      ),
    })
    const at = now.getTime()
    const { refusing, waitMs } = this.model.admit(
      request.calls.map(({ id, tool }, place): ModelCall => {
        const { method, tokens, cost, hold } = calls[place]!
        const estimate =
          method === 'initialize' ? { requests: 0, tokens: 0, cost: 0 } : { requests: 1, tokens, cost }
        const user = caller?.firstId ?? null
        const department = caller?.department ?? null
        return {
          id,
          request,
          user,
          department,
          tool,
          at,
          estimate,
          expires: at + hold * 1000,
          used: null,
          expired: false,
        }
      }),
    )
    const verdict = await ledger.admit(request)
    expect({ admitted: verdict.admitted, who, calls }).toEqual({
      admitted: refusing.length === 0,
      who,
      calls,
    })
    if (verdict.admitted) return
    expect(verdict.code).toBe('quota_exceeded')
    expect(refusing).toContain(verdict.quotaId)
    expect(verdict.retryAfterMs ?? Infinity).toBe(waitMs)
    const counted = calls.filter(({ method }) => method !== 'initialize').length
    this.model.refuse(verdict.quotaId!, caller?.firstId ?? null, true, counted)
  }

  private drawn({
    scope,
    whom,
    metric,
    window,
    limit,
    tools,
    models,
    mode,
  }: QuotaDraw): Omit<ModelQuota, 'id'> {
    const subject =
      scope === 'user' ? this.callers[whom]!.firstId : scope === 'department' ? `Sales ${this.name}` : null
    return {
      scope,
      subject,
      metric,
      window,
      limit,
      // What holds everybody holds those of the other worlds too, but for tools that only this one has.
      tools: this.tools(tools === 0 && subject === null ? 2 : tools),
      models: models ? ['large'] : null,
      mode,
    }
  }

  private known(quota: Omit<ModelQuota, 'id'>): ModelQuota | undefined {
    return this.model.quotas.find((each) => identity(each) === identity(quota))
  }

  /** The quotas that are there at the beginning, for which nobody has made a budget yet. */
  begin(draws: QuotaDraw[]): ModelQuota[] {
    for (const quota of draws.map((draw) => this.drawn(draw)))
      if (this.known(quota) === undefined) this.model.quotas.push({ ...quota, id: crypto.randomUUID() })
    return this.model.quotas
  }

  private async put(draw: QuotaDraw): Promise<void> {
    const quota = this.drawn(draw)
    const { scope, metric, window, mode, subject, tools, models } = quota
    const id = await putQuota(
      database.sql,
      {
        scope,
        metric,
        window,
        mode,
        limit: limitOf(quota),
        ...(subject === null ? {} : { subject }),
        ...(tools === null ? {} : { tools }),
        ...(models === null ? {} : { models }),
      },
      now,
    )
    const known = this.known(quota)
    if (known === undefined) this.model.quotas.push({ ...quota, id })
    else {
      expect(id).toBe(known.id)
      Object.assign(known, quota)
    }
  }
}

/** Written at once, without budgets: each is made at the first call that needs it. */
async function insertQuotas(quotas: ModelQuota[]): Promise<void> {
  const rows = quotas.map((quota) => ({ ...quota, amount: limitOf(quota) }))
  await database.sql`
    insert into archon_mcp_quotas (quota_id, scope, subject, holder, metric, amount, window_unit, tools, models, mode)
    select id, scope, subject, concat_ws(' ', scope, subject), metric, amount, "window", tools, models, mode
    from json_to_recordset(${JSON.stringify(rows)}::text::json)
      as quota (id uuid, scope text, subject text, metric text, amount numeric, "window" text, tools text[], models text[], mode text)`
}

interface BudgetSeen {
  quota_id: string
  holder: string
  starts_at: number
  used: string
  held: string
  excess: string
  excess_calls: number
}

/** Every budget of the database is as its world has it, and as its calls have it. */
async function compare(worlds: Pick<World, 'model'>[]): Promise<void> {
  const rows = await database.sql<BudgetSeen[]>`
    select quota_id, holder, extract(epoch from starts_at)::float8 * 1000 as starts_at, used::text, held::text, excess::text,
           excess_calls::integer
    from archon_mcp_budgets`
  const quotas = new Map(
    worlds.flatMap(({ model }) => model.quotas.map((quota) => [quota.id, { quota, model }])),
  )
  const seen: unknown[] = []
  const expected: unknown[] = []
  for (const { quota_id, holder, starts_at, ...row } of rows) {
    const { quota, model } = quotas.get(quota_id)!
    const unit = quota.metric === 'cost' ? 10_000 : 1
    const [used, held, excess] = [row.used, row.held, row.excess].map((amount) =>
      Math.round(Number(amount) * unit),
    )
    const about = { ...quota, holder, starts_at }
    seen.push({ ...about, used, held, excess, excess_calls: row.excess_calls })
    expected.push({ ...about, ...model.standing(quota, holder, starts_at) })
  }
  expect(seen).toEqual(expected)
  expect(await differences(database.sql)).toEqual([])
}

async function compareRefusals(worlds: World[]): Promise<void> {
  const rows = await database.sql<{ key: string; calls: number }[]>`
    select quota_id || ' ' || coalesce(user_id::text, 'null') || ' ' || enforced as key, sum(calls)::integer as calls
    from archon_mcp_refusals group by 1`
  const expected = worlds.flatMap(({ model }) => [...model.refused]).filter(([, calls]) => calls > 0)
  expect(Object.fromEntries(rows.map(({ key, calls }) => [key, calls]))).toEqual(Object.fromEntries(expected))
}

const clear = () => database.owner`
  truncate archon_mcp_quotas, archon_mcp_refusals, archon_mcp_requests, archon_mcp_users cascade`

it('two instances keep budgets through any sequence of events as one simple model does', async () => {
  const worldsAtOnce = Math.min(WORLDS, SEQUENCES)
  await fc.assert(
    fc.asyncProperty(
      fc.array(sequence, { minLength: worldsAtOnce, maxLength: worldsAtOnce }),
      fc.array(between, { minLength: 15, maxLength: 15 }),
      async (sequences, pauses) => {
        await clear()
        now = new Date(START)
        const worlds = await Promise.all(sequences.map((_, at) => World.named(String(at))))
        const all = (act: (world: World, at: number) => Promise<void>) => Promise.all(worlds.map(act))
        await insertQuotas(worlds.flatMap((world, at) => world.begin(sequences[at]!.quotas)))
        const longest = Math.max(...sequences.map(({ events }) => events.length))
        for (const [step, { waitMs, sweep }] of pauses.slice(0, longest).entries()) {
          await all(async (world, at) => {
            const event = sequences[at]!.events[step]
            if (event !== undefined) await world.run(event, ledgers[(at + step) % 2]!)
          })
          now = new Date(now.getTime() + waitMs)
          if (sweep) {
            await database.sql`select archon_mcp_sweep(${now}, 10000)`
            for (const { model } of worlds) model.sweep(now.getTime())
          }
          await compare(worlds)
        }
        await compareRefusals(worlds)
        expect(await beyondCalls(database.sql)).toEqual([])
      },
    ),
    {
      numRuns: Math.ceil(SEQUENCES / worldsAtOnce),
      endOnFailure: process.env['SHRINK'] === undefined,
      ...SEED,
    },
  )
}, 180_000)

/** Numbers that look random, and are the same for a seed. */
function numbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor((state / 2_147_483_648) * below)
  }
}

/** All scopes, metrics and windows, and all ways to narrow them. */
function trafficQuotas(user: LedgerCaller): ModelQuota[] {
  const quota = (
    scope: QuotaScope,
    metric: Metric,
    window: QuotaWindow,
    limit: number,
    more: Partial<ModelQuota> = {},
  ): ModelQuota => {
    const rest = { subject: null, tools: null, models: null, mode: 'enforce' as const }
    return { id: crypto.randomUUID(), scope, metric, window, limit, ...rest, ...more }
  }
  return [
    quota('everyone', 'requests', 'minute', 30),
    quota('everyone', 'tokens', 'hour', 9000),
    quota('everyone', 'cost', 'total', 20_000),
    quota('everyone', 'cost', 'month', 10, { mode: 'observe' }),
    quota('each_user', 'requests', 'hour', 60),
    quota('user', 'requests', 'hour', 80, { subject: user.firstId }),
    quota('each_user', 'tokens', 'minute', 50),
    quota('each_user', 'tokens', 'day', 1000, { models: ['large'] }),
    quota('each_user', 'requests', 'day', 20, { tools: ['search'] }),
    quota('each_department', 'cost', 'week', 5000),
    quota('department', 'cost', 'week', 4000, { subject: 'Sales' }),
    quota('department', 'requests', 'day', 5, { subject: 'Legal', mode: 'warn' }),
    quota('each_department', 'tokens', 'hour', 1500, { tools: ['fetch', 'search'] }),
  ]
}

/** The calls as they are on record. */
async function recorded(): Promise<ModelCall[]> {
  interface Row extends Record<Metric | 'tokens_held' | 'cost_held', number> {
    id: string
    user: string | null
    department: string | null
    tool: string
    method: string
    at: number
    open: boolean
    models: { model: string; tokens: number; cost: number }[]
  }
  const rows = await database.sql<Row[]>`
    select call.request_id as id, call.user_id as "user", call.department, call.tool_name as tool, call.method,
           extract(epoch from call.timestamp)::float8 * 1000 as at, call.status = 'open' as open,
           call.counted::integer as requests, call.total_tokens as tokens, (call.cost * 10000)::float8 as cost,
           call.reserved_tokens::float8 as tokens_held, (call.reserved_cost * 10000)::float8 as cost_held,
           (
             select coalesce(json_agg(json_build_object(
               'model', line.model, 'tokens', line.prompt_tokens + line.completion_tokens, 'cost', line.cost * 10000
             )), '[]')
             from archon_mcp_usage as line where line.request_id = call.request_id
           ) as models
    from archon_mcp_requests as call`
  const request = requestBy(null)
  return rows.map(({ requests, tokens, cost, models, open, method, tokens_held, cost_held, ...call }) => {
    const lines = models.map(({ model, ...line }) => [model, { requests: 1, ...line }] as const)
    const used = open ? null : { requests, tokens, cost, models: new Map(lines) }
    const estimate = { requests: method === 'initialize' ? 0 : 1, tokens: tokens_held, cost: cost_held }
    return { ...call, request, estimate, used, expires: 0, expired: false }
  })
}

/** No more is used and held than is allowed, but for what calls used beyond their estimates. */
async function expectWithinLimits(): Promise<void> {
  const over = await database.sql`
    select quota.*, budget.used, budget.held, budget.excess
    from archon_mcp_budgets as budget
    join archon_mcp_quotas as quota using (quota_id)
    where quota.mode = 'enforce' and quota.models is null and budget.used + budget.held > quota.amount + budget.excess`
  expect([...over]).toEqual([])
}

async function hourOfTraffic(seed: number): Promise<void> {
  const next = numbers(seed)
  const one = <T>(...of: T[]): T => of[next(of.length)]!
  await clear()
  now = new Date(START)
  const users = await Promise.all(
    Array.from({ length: 12 }, (_, at) =>
      callerNamed(`traffic-${at}`, { department: ['Sales', 'Legal', null][at % 3]! }),
    ),
  )
  const model = new Model()
  model.quotas = trafficQuotas(users[0]!)
  await insertQuotas(model.quotas)
  const open: string[] = []
  const known: string[] = []
  const admitted = { yes: 0, no: 0 }

  async function begin(): Promise<void> {
    const at = next(13)
    // Now and then somebody moves; the newest token says where to.
    if (next(40) === 0 && at < 12)
      users[at] = { ...users[at]!, department: one('Sales', 'Legal', 'Ops', null), issuedAt: now }
    const request = requestBy(users[at] ?? null, {
      quotas: JUDGED,
      calls: Array.from({ length: one(1, 1, 1, 2, 3) }, () =>
        callOf({
          method: one('tools/call', 'tools/call', 'tools/call', 'tools/call', 'initialize'),
          tool: one('search', 'fetch', 'echo'),
          holdSeconds: one(30, 90, 600),
          estimate: { tokens: next(30), cost: dollars(next(30)) },
        }),
      ),
    })
    const verdict = await one(...ledgers).admit(request)
    admitted[verdict.admitted ? 'yes' : 'no'] += 1
    if (verdict.admitted) open.push(...request.calls.map(({ id }) => id))
  }

  async function end(): Promise<void> {
    // One that was lost, or has ended before, now and then.
    const id = next(10) === 0 ? known[next(known.length)] : open.splice(next(open.length), 1)[0]
    if (id === undefined) return
    known.push(id)
    const usage = ['large', 'small'].slice(next(3)).map((model) => {
      const [promptTokens, completionTokens] = [next(15), next(15)]
      return { model, promptTokens, completionTokens, cost: dollars(next(30)) }
    })
    await one(...ledgers).close(success(id, { usage, round: next(10) === 0 }))
  }

  const sweep = async (): Promise<void> => {
    await database.sql`select archon_mcp_sweep(${now}, 10)`
  }

  for (let minute = 0; minute < 60; minute += 1) {
    const happenings = Array.from({ length: 50 }, () => one(begin, begin, begin, end, end, end, end))
    await Promise.all([...happenings, sweep].map((happen) => happen()))
    // What is not closed in time is lost: the sweep comes for it.
    known.push(...open.splice(0, next(4)))
    expect(await differences(database.sql)).toEqual([])
    await expectWithinLimits()
    if (minute % 20 === 19) {
      model.calls = await recorded()
      await compare([{ model }])
      expect(await beyondCalls(database.sql)).toEqual([])
    }
    now = new Date(now.getTime() + 60_000)
  }
  expect(model.calls.length).toBeGreaterThan(500)
  expect(model.calls.some(({ used }) => used === null)).toBe(true)
  expect(admitted.no).toBeGreaterThan(50)
  const [row] = await database.sql<{ lost: number }[]>`
    select count(*)::integer as lost from archon_mcp_requests where status = 'timeout'`
  expect(row!.lost).toBeGreaterThan(10)
}

it('an hour of random traffic on two instances leaves every budget the sum of its calls, at every step', async () => {
  await fc.assert(fc.asyncProperty(fc.nat(), hourOfTraffic), { numRuns: 1, endOnFailure: true, ...SEED })
}, 120_000)
