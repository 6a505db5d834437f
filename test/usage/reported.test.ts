// What calls used, as it is told and as it is recorded. How reports are read stands in collector.test.ts.
import type { Context } from 'hono'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import type { UsageReporter } from '../../src/variables.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { appWith, callTool, initialize, modern, post, tokenFor } from '../support/mcp.ts'
import { budgetsOf, differences, putQuota } from '../support/quotas.ts'

let database: TestDatabase
let token: string
beforeAll(async () => {
  database = await createTestDatabase()
  token = await tokenFor('Alice')
  await database.owner`
    insert into archon_llm_pricing (model_name, provider, input_price_per_1k, output_price_per_1k, effective_date)
    values ('gpt', 'openai', 1, 2, current_date - 100), ('gpt', 'openai', 10, 20, current_date - 20),
           ('gpt', 'openai', 100, 200, current_date + 2), ('dear', 'x', 9999.999999, 9999.999999, '2020-01-01')`
})
afterAll(() => database[Symbol.asyncDispose]())

const META = 'dev.mcp-user-context/usage'
const resultOf = (usage?: unknown, id: unknown = 1) => ({
  jsonrpc: '2.0',
  id,
  result: { content: [], ...(usage === undefined ? {} : { _meta: { [META]: usage } }) },
})
const event = (message: unknown) => new TextEncoder().encode(`data: ${JSON.stringify(message)}\n\n`)
const sse = (body: BodyInit) => new Response(body, { headers: { 'content-type': 'text/event-stream' } })

type Tool = (usage: UsageReporter, c: Context) => Response | void | Promise<Response | void>

/** Calls a tool that does this, and answers with a result unless it says otherwise. */
async function call(name: string, tool: Tool): Promise<Response> {
  const app = appWith(database.sql, async (c) => (await tool(c.var.usage!, c)) ?? c.json(resultOf()))
  app.onError((_error, c) => c.text('it broke', 500))
  const { body, headers } = modern(callTool(name))
  return await app.request('/mcp', post(body, { token, headers }))
}

/** What is on record of a call, and of each model that it used. */
async function recordOf(tool: string) {
  await ledgerOf(database.sql).drained()
  const [call] = await database.owner`
    select status, prompt_tokens as prompt, completion_tokens as completion, total_tokens as total,
           trim_scale(cost)::text as cost
    from archon_mcp_requests where tool_name = ${tool}`
  const models = await database.owner`
    select model, line.prompt_tokens as prompt, line.completion_tokens as completion,
           trim_scale(line.cost)::text as cost
    from archon_mcp_usage as line join archon_mcp_requests using (request_id)
    where tool_name = ${tool} order by model`
  return { ...call, models: [...models] }
}

describe('what a tool reports by usage.add()', () => {
  it('is a line for each model, and their sum in the call', async () => {
    await call('several', (usage) => {
      usage.add({ model: 'gpt', promptTokens: 1000, completionTokens: 10 })
      usage.add({ model: 'own', promptTokens: 7, cost: '0.0000000003' })
      usage.add({ model: 'gpt', promptTokens: 500 })
      usage.add({ completionTokens: 1 })
    })
    expect(await recordOf('several')).toEqual({
      status: 'success',
      prompt: 1507,
      completion: 11,
      total: 1518,
      cost: '15.2000000003',
      models: [
        { model: 'gpt', prompt: 1500, completion: 10, cost: '15.2' },
        { model: 'own', prompt: 7, completion: 0, cost: '0.0000000003' },
        { model: 'unknown', prompt: 0, completion: 1, cost: '0' },
      ],
    })
  })

  // USD for 1,000 tokens each: of today, of the price list in force when the call began, as told, of no list.
  const costs: [string, { model: string; cost?: number }, number, string][] = [
    ['as it is priced today', { model: 'gpt' }, 0, '30'],
    ['as it was priced when the call began', { model: 'gpt' }, 50, '3'],
    ['nothing before there was a price', { model: 'gpt' }, 200, '0'],
    ['as it is told, whatever the price', { model: 'gpt', cost: 0.5 }, 0, '0.5'],
    ['nothing, where that is told', { model: 'gpt', cost: 0 }, 0, '0'],
    ['nothing, where no price is known', { model: 'nobody knows it' }, 0, '0'],
  ]
  it.each(costs)('costs %s', async (name, report, daysAgo, cost) => {
    await call(name, async (usage) => {
      await database.owner`
        update archon_mcp_requests set timestamp = timestamp - make_interval(days => ${daysAgo})
        where tool_name = ${name}`
      usage.add({ ...report, promptTokens: 1000, completionTokens: 1000 })
    })
    expect(await recordOf(name)).toMatchObject({ cost, total: 2000, models: [{ cost }] })
  })

  it('may be wrong: the tool is told by a TypeError, and what it reported before counts', async () => {
    let thrown: unknown
    await call('wrong', (usage) => {
      usage.add({ promptTokens: 5 })
      try {
        usage.add({ promptTokens: -5 })
      } catch (error) {
        thrown = error
      }
    })
    expect(thrown).toEqual(new TypeError('usage.add(): promptTokens must be a whole number of tokens'))
    expect(await recordOf('wrong')).toMatchObject({ status: 'success', total: 5 })
  })

  it('counts though the tool throws', async () => {
    await call('throwing', (usage) => {
      usage.add({ promptTokens: 5 })
      throw new Error('no disk')
    })
    expect(await recordOf('throwing')).toMatchObject({ status: 'error', total: 5 })
  })

  it('may be huge, and is recorded all the same', async () => {
    await call('huge', (usage) => usage.add({ model: 'dear', promptTokens: 1_000_000_000 }))
    expect(await recordOf('huge')).toMatchObject({ total: 1_000_000_000, cost: '9999999999' })
  })

  it('may be more money than a column holds, and the call is closed all the same', async () => {
    await call('too dear', (usage) => {
      try {
        for (let index = 0; index < 11; index += 1) usage.add({ model: `m${index}`, cost: 999_999_999 })
      } catch {
        // It may be refused.
      }
    })
    expect(await recordOf('too dear')).toMatchObject({ status: 'success' })
  })

  it('names models of any length and letters', async () => {
    const model = `${'m'.repeat(99)}\u{1F680}\0${'n'.repeat(50)}`
    await call('strange', (usage) => usage.add({ model, promptTokens: 1 }))
    expect(await recordOf('strange')).toMatchObject({ status: 'success', total: 1 })
  })
})

describe("what a result says in its _meta['dev.mcp-user-context/usage']", () => {
  const line = { model: 'gpt', prompt: 100, completion: 0, cost: '1' }
  const told = { model: 'gpt', prompt_tokens: 100 }
  const progress = { jsonrpc: '2.0', method: 'notifications/progress' }
  const answers: [string, Tool][] = [
    ['counts, as JSON', (_usage, c) => c.json(resultOf(told))],
    ['counts, in a stream', () => sse(new Blob([event(progress), event(resultOf([told]))]))],
    [
      'comes after what the tool reported itself',
      (usage, c) => {
        usage.add({ model: 'gpt', promptTokens: 100 })
        return c.json(resultOf({ model: 'other', prompt_tokens: 5 }))
      },
    ],
    [
      'comes after it, in a stream',
      (usage) => {
        usage.add({ model: 'gpt', promptTokens: 100 })
        return sse(new Blob([event(resultOf({ promptTokens: 5 }))]))
      },
    ],
  ]
  it.each(answers)('%s', async (name, tool) => {
    await (await call(name, tool)).text()
    expect(await recordOf(name)).toMatchObject({ status: 'success', total: 100, cost: '1', models: [line] })
  })

  it('passes on to the client as it is', async () => {
    const response = await call('passing', (_usage, c) => c.json(resultOf(told)))
    expect(await response.json()).toEqual(resultOf(told))
  })
})

/** Sends calls of these tools at once, with ids from 0 on. */
async function sendBatch(names: string[], handler: (c: Context) => Response): Promise<void> {
  const app = appWith(database.sql, (c) =>
    c.var.message?.initialize === true ? c.json(resultOf(undefined, 'init')) : handler(c),
  )
  const opened = await app.request('/mcp', post(initialize(), { token }))
  const session = opened.headers.get('mcp-session-id')!
  const batch = names.map((name, id) => callTool(name, {}, id))
  await (await app.request('/mcp', post(batch, { token, session }))).text()
}

describe('a batch', () => {
  it('has the usage of each result in its own call', async () => {
    await sendBatch(['left', 'right', 'none'], (c) =>
      c.json([resultOf({ promptTokens: 1 }, 0), resultOf({ promptTokens: 2 }, 1), resultOf(undefined, 2)]),
    )
    expect(await recordOf('left')).toMatchObject({ total: 1 })
    expect(await recordOf('right')).toMatchObject({ total: 2 })
    expect(await recordOf('none')).toMatchObject({ total: 1, models: [] })
  })

  it('has what its tools report by usage.add() in its first call, once', async () => {
    await sendBatch(['first', 'second'], (c) => {
      const { usage } = c.var as { usage: UsageReporter }
      usage.add({ promptTokens: 3 })
      usage.add({ promptTokens: 4 })
      return c.json([resultOf(undefined, 0), resultOf({ promptTokens: 5 }, 1)])
    })
    expect(await recordOf('first')).toMatchObject({ total: 7 })
    expect(await recordOf('second')).toMatchObject({ total: 5 })
  })
})

describe('a stream', () => {
  it('that is cancelled settles with what was used by then', async () => {
    const id = await putQuota(database.sql, { metric: 'tokens', limit: 1000, tools: ['left early'] })
    const response = await call('left early', (usage) => {
      const stream = new ReadableStream<Uint8Array>({
        start(controller) {
          usage.add({ promptTokens: 30 })
          controller.enqueue(event({ jsonrpc: '2.0', method: 'notifications/progress' }))
        },
      })
      return sse(stream)
    })
    const reader = response.body!.getReader()
    await reader.read()
    await reader.cancel()
    expect(await recordOf('left early')).toMatchObject({ status: 'error', total: 30 })
    expect(await budgetsOf(database.sql, id)).toMatchObject([{ used: '30', held: '0' }])
    expect(await differences(database.sql)).toEqual([])
  })

  it('that goes on settles with all that was used until its end', async () => {
    const response = await call('patient', (usage) => {
      let chunk = 0
      const stream = new ReadableStream<Uint8Array>({
        pull(controller) {
          usage.add({ completionTokens: 10 })
          chunk += 1
          if (chunk < 5)
            return controller.enqueue(event({ jsonrpc: '2.0', method: 'notifications/progress' }))
          controller.enqueue(event(resultOf()))
          controller.close()
        },
      })
      return sse(stream)
    })
    await response.text()
    expect(await recordOf('patient')).toMatchObject({ status: 'success', total: 50 })
  })
})
