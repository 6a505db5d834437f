import { Hono } from 'hono'
import { userContext } from '../../src/auth/user-context.ts'
import type { Sql } from '../../src/db/client.ts'
import { createLedger } from '../../src/ledger/ledger.ts'
import { expectationOf } from '../../src/limits/quota-rule.ts'
import { rateDemand } from '../../src/limits/rate-rule.ts'
import { readMessage } from '../../src/mcp/read-message.ts'
import { serveMcp } from '../../src/mcp/serve-mcp.ts'
import { sessionStep } from '../../src/sessions/session.ts'
import { createUsageCollector } from '../../src/usage/collector.ts'
import { callsOf } from '../../src/usage/calls.ts'
import type { McpVariables, UsageReporter } from '../../src/variables.ts'
import { optionsFor } from '../support/mcp.ts'
import { echoHandler } from './handler.ts'
import { QUOTA, RATE } from './limits-of-comparison.ts'

/** Connections of the pool, and as many statements at once. */
const CONNECTIONS = 10

/**
 * The kit's pieces with a ledger that shares nothing: each call is a statement and a commit of its own. The end of
 * an earlier call still goes along, so this flatters it a little.
 */
export function oneByOne(sql: Sql) {
  const ledger = createLedger(sql, { maxGroupSize: 1, groupsInFlight: CONNECTIONS })
  const app = new Hono<{ Variables: McpVariables }>()
  app.use('/mcp', userContext(optionsFor(sql)))
  app.use('/mcp', async (c, next) => {
    const message = await readMessage(c)
    if (message === null || 'code' in message) return c.text('no message', 400)
    const step = await sessionStep(c, message, {})
    if ('code' in step) return c.text(step.code, 400)
    const calls = callsOf(message, undefined, (tool) => expectationOf(QUOTA, tool))
    const startedAt = performance.now()
    const verdict = await ledger.admit({
      caller: c.var.caller.identity,
      session: step.demand,
      calls: calls.map(({ call }) => call),
      rate: rateDemand(RATE),
      quotas: { rates: true, budgets: true },
    })
    if (!verdict.admitted) return c.text(verdict.code, 429)
    const collector = createUsageCollector()
    const usage: UsageReporter = { add: (report) => collector.add(report), hold: async () => {} }
    c.set('auth', { ...c.var.auth!, extra: { ...c.var.auth!.extra, usage } })
    await next()
    const end = { status: 'success', error: null, usage: collector.lines() } as const
    const durationMs = performance.now() - startedAt
    for (const { call } of calls) void ledger.close({ id: call.id, durationMs, ...end })
  })
  return app.all('/mcp', serveMcp(echoHandler()))
}
