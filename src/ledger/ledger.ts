import type { Sql, SqlSource } from '../db/client.ts'
import { DatabaseUnavailableError, MAX_WAIT_MS, patiently } from '../db/outage.ts'
import { createRefusalMemory, type RefusalMemory } from './refusal-memory.ts'
import { type Group, renewHolds, runLedger } from './statement.ts'
import type { AdmissionRequest, CallToClose, Ledger, Verdict } from './types.ts'

export interface LedgerOptions {
  /** Groups on their way at once. Default 2: one doubles latency at a distance, more add nothing. */
  groupsInFlight?: number
  /** Calls in one group. Default 100: events per second are flat beyond. */
  maxGroupSize?: number
  /** Milliseconds that the end of a call waits for a group to go with. Default 20. */
  closeDelayMs?: number
  /** Milliseconds that a request waits for a database that is out of reach. Default 8,000. */
  maxWaitMs?: number
  /** The moment to work at; null is the database's clock. Default: the database's clock. */
  now?: () => Date | null
  /** What was refused a moment ago; several ledgers of one instance may share it. Default: one of its own. */
  memory?: RefusalMemory
  /** Told of an end that could not be recorded; the sweep closes that call as a timeout. */
  onError?: (error: unknown) => void
}

interface WaitingRequest {
  request: AdmissionRequest
  deadline: number
  resolve: (verdict: Verdict) => void
  reject: (error: unknown) => void
}

interface WaitingClose {
  call: CallToClose
  done: () => void
}

// Ends of calls that were given up while the database was out; beyond this the sweep closes them.
const MAX_ABANDONED = 10_000

// The message alone: the details of a database error quote rows.
const logError = (error: unknown): void =>
  console.error(
    `mcp-user-context: a call was not recorded: ${error instanceof Error ? error.message : 'unknown error'}`,
  )

/**
 * The ledger of one instance: what waits while a group is on its way is the next group.
 * @example const verdict = await createLedger(sql).admit({ caller, session: null, calls: [call] })
 */
export function createLedger(sql: Sql, options: LedgerOptions = {}): Ledger {
  const { groupsInFlight = 2, maxGroupSize = 100, closeDelayMs = 20, maxWaitMs = MAX_WAIT_MS } = options
  const { now = () => null, memory = createRefusalMemory(), onError = logError } = options
  const nowMs = (): number => now()?.getTime() ?? Date.now()
  let waiting: WaitingRequest[] = []
  let closing: WaitingClose[] = []
  let inFlight = 0
  // Groups whose callers were told 503 while the statement was still on its way.
  let abandoned = 0
  let closeTimer: ReturnType<typeof setTimeout> | undefined
  let idle: (() => void)[] = []
  // Calls that were admitted here and have not ended.
  const running = new Set<string>()
  let settling: (() => void)[] = []

  function take(): { requests: WaitingRequest[]; closes: WaitingClose[] } {
    clearTimeout(closeTimer)
    closeTimer = undefined
    let size = 0
    // The first goes whatever its size: a batch may be as large as a group.
    const end = waiting.findIndex(
      ({ request }, index) => (size += Math.max(request.calls.length, 1)) > maxGroupSize && index > 0,
    )
    return {
      requests: waiting.splice(0, end === -1 ? waiting.length : end),
      closes: closing.splice(0, 2 * maxGroupSize),
    }
  }

  /** Sends what waits, as far as there is room. `closesToo`: the ends have waited for company long enough. */
  function pump(closesToo = false): void {
    const due = (): boolean => waiting.length > 0 || (closesToo && closing.length > 0)
    while (inFlight < groupsInFlight && due()) {
      inFlight += 1
      const { requests, closes } = take()
      void send(requests, closes).finally(() => {
        inFlight -= 1
        // Full groups of ends go on without waiting: they have company already.
        pump(closing.length >= maxGroupSize)
        if (closing.length > 0) scheduleCloses()
        wake()
      })
    }
  }

  function scheduleCloses(): void {
    closeTimer ??= setTimeout(() => {
      closeTimer = undefined
      pump(true)
    }, closeDelayMs)
  }

  async function send(requests: WaitingRequest[], closes: WaitingClose[]): Promise<void> {
    const group: Group = {
      requests: requests.map(({ request }) => request),
      closes: closes.map(({ call }) => call),
      refusals: memory.takeCounts(),
    }
    // Ends are not given up, since the calls ran: they wait for the next group, and leave the way to requests.
    const deadline = requests[0]?.deadline ?? Date.now() + maxWaitMs
    try {
      const verdicts = await patiently(
        (again) => runLedger(sql, group, { again, now: now() }),
        deadline,
        maxWaitMs,
      )
      for (const { done } of closes) done()
      for (const [index, { request, resolve }] of requests.entries()) {
        const verdict = verdicts[index]!
        if (verdict.admitted) for (const { id } of request.calls) running.add(id)
        else memory.keep(request, verdict, nowMs())
        resolve(verdict)
      }
    } catch (error) {
      memory.giveBack(group.refusals)
      if (error instanceof DatabaseUnavailableError) {
        for (const { reject } of requests) reject(error)
        void abandon(group.requests, error.unanswered)
        closing.unshift(...closes)
      } else if (requests.length + closes.length > 1) {
        // One of them is at fault, and the others shall not suffer for it.
        for (const request of requests) await send([request], [])
        for (const close of closes) await send([], [close])
      } else {
        for (const { reject } of requests) reject(error)
        for (const { done } of closes) done()
        onError(error)
      }
    }
  }

  /**
   * The callers were told that their calls did not run, but their rows may be there, or come yet: then they end as
   * errors. Not before the statement is answered, or the ends would find no rows.
   */
  async function abandon(requests: AdmissionRequest[], unanswered: Promise<unknown>): Promise<void> {
    abandoned += 1
    await unanswered
    abandoned -= 1
    for (const { id } of requests.flatMap(({ calls }) => calls)) {
      if (closing.length >= MAX_ABANDONED) break
      const call: CallToClose = {
        id,
        status: 'error',
        durationMs: 0,
        error: 'not run: the database was out of reach',
      }
      closing.push({ call, done: () => {} })
    }
    if (closing.length > 0) scheduleCloses()
    wake()
  }

  const isIdle = (): boolean =>
    inFlight === 0 && waiting.length === 0 && closing.length === 0 && abandoned === 0
  function wake(): void {
    if (isIdle()) for (const done of idle.splice(0)) done()
  }

  const drained = (): Promise<void> =>
    new Promise((resolve) => {
      if (isIdle()) resolve()
      else {
        idle.push(resolve)
        pump(true)
      }
    })

  return {
    async admit(request) {
      const refused = memory.recall(request, nowMs())
      if (refused !== null) return refused
      return await new Promise((resolve, reject) => {
        waiting.push({ request, deadline: Date.now() + maxWaitMs, resolve, reject })
        pump()
      })
    },
    close: (call) =>
      new Promise((resolve) => {
        closing.push({ call, done: resolve })
        scheduleCloses()
        running.delete(call.id)
        if (running.size === 0) for (const ended of settling.splice(0)) ended()
      }),
    async renew(calls) {
      try {
        await renewHolds(sql, calls, now())
      } catch {
        // The next time will do: a hold is renewed well before it ends.
      }
    },
    drained,
    async settled() {
      if (running.size > 0) await new Promise<void>((ended) => settling.push(ended))
      await drained()
    },
  }
}

const ledgers = new WeakMap<Sql, Ledger>()
const memories = new WeakMap<SqlSource, RefusalMemory>()

/**
 * The ledger of a client: pieces that are given the same `sql` share one group of calls.
 * @param source where the client came from. On Workers each request has a client and so a ledger of its own, while
 *   the refusals of an isolate are remembered with the function that gives the clients.
 */
export function ledgerOf(sql: Sql, source: SqlSource = sql): Ledger {
  const known = ledgers.get(sql)
  if (known !== undefined) return known
  const memory = memories.get(source) ?? createRefusalMemory()
  memories.set(source, memory)
  const ledger = createLedger(sql, { memory })
  ledgers.set(sql, ledger)
  return ledger
}
