import { beforeAll, describe, expect, it } from 'vitest'
import type { ErrorSummary } from '../../src/reports/errors.ts'
import type { LoggedCall } from '../../src/reports/logs-rows.ts'
import { type Person, usePeople, writeCalls } from '../reports/call-rows.ts'
import { ago, expectProblem, MOMENT, refusesStrangers, send, useApi, walk, writeSession } from './support.ts'

const api = useApi()
const people = usePeople(api)
let ofBob: string

beforeAll(async () => {
  const [alice, carl, fin] = [people.id('Alice'), people.id('Carl'), people.id('Fin')]
  ofBob = await writeSession(api.sql, { user_id: people.id('Bob'), client_type: 'Claude Code' })
  const failed = { tool_name: 'search', status: 'error' }
  await writeCalls(
    api.sql,
    { ...failed, user_id: alice, timestamp: ago(10), error_message: 'no such index', cost: '0.0000000001' },
    { ...failed, user_id: alice, timestamp: ago(20), status: 'timeout', tool_name: 'slow' },
    { user_id: alice, timestamp: ago(1) },
    { user_id: alice, timestamp: ago(2), status: 'open', tool_name: 'search' },
    { ...failed, kind: null, session_id: ofBob, timestamp: ago(30), estimated_cost: '0.5' },
    { session_id: ofBob, user_id: people.id('Bob'), tool_name: 'search' },
    { session_id: ofBob, user_id: people.id('Bob'), tool_name: 'search' },
    { method: 'tools/list', user_id: carl, timestamp: ago(40), status: 'error' },
    { method: 'tools/call', tool_name: 'tools/list', user_id: carl, timestamp: ago(45), status: 'error' },
    { ...failed, user_id: fin, timestamp: ago(50), status: 'timeout' },
    { ...failed, timestamp: ago(60), error_message: 'of nobody' },
  )
})

interface Errors {
  errors: LoggedCall[]
  summary: ErrorSummary
  total: number
}
const list = async (who: Person, query = '') =>
  (await send(api.app, `GET /errors${query}`, { token: people.token(who) })).body as unknown as Errors
const described = (errors: LoggedCall[]) =>
  errors.map(({ tool_name, method, status }) => `${tool_name ?? method} ${status}`)

describe('GET /errors', () => {
  refusesStrangers(api, 'GET /errors')

  it('tells the calls that failed, newest first, and which part of all they are', async () => {
    const body = await list('Alice')
    const common = {
      request_id: expect.any(String),
      timestamp: MOMENT,
      kind: 'mcp',
      method: 'tools/call',
      user_id: people.id('Alice'),
      user_email: 'alice@example.com',
      user_name: 'Alice',
      department: 'sales',
      prompt_tokens: 0,
      completion_tokens: 0,
      total_tokens: 0,
    }
    expect(body).toEqual({
      errors: [
        {
          ...common,
          level: 'error',
          status: 'error',
          tool_name: 'search',
          cost: '0.0000000001',
          estimated_cost: '0',
          error_message: 'no such index',
        },
        {
          ...common,
          level: 'warning',
          status: 'timeout',
          tool_name: 'slow',
          cost: '0',
          estimated_cost: '0',
        },
      ],
      summary: {
        error_count: 1,
        timeout_count: 1,
        last_error_at: body.errors[0]?.timestamp,
        error_rate_percent: 66.67,
      },
      total: 2,
    })
  })

  const EVERY = 'search error, slow timeout, search error, tools/list error, tools/list error'
  const cases: { who: Person; query?: string; sees: string; rate: number }[] = [
    { who: 'Alice', sees: 'search error, slow timeout', rate: 66.67 },
    { who: 'Bob', sees: 'search error', rate: 33.33 },
    { who: 'Mia', sees: 'search error, slow timeout, search error', rate: 50 },
    { who: 'Max', sees: '', rate: 0 },
    // Sums of everybody's, but of single calls its own alone.
    { who: 'Fin', sees: 'search timeout', rate: 100 },
    { who: 'Ada', sees: `${EVERY}, search timeout, search error`, rate: 70 },
    { who: 'service', sees: `${EVERY}, search timeout, search error`, rate: 70 },
    {
      who: 'Ada',
      query: 'severity=error',
      sees: EVERY.replace(' slow timeout,', '').concat(', search error'),
      rate: 50,
    },
    { who: 'Ada', query: 'severity=timeout', sees: 'slow timeout, search timeout', rate: 20 },
    {
      who: 'Ada',
      query: 'tool=search',
      sees: 'search error, search error, search timeout, search error',
      rate: 66.67,
    },
    { who: 'Ada', query: 'tool=search&severity=timeout', sees: 'search timeout', rate: 16.67 },
    // A method is found by its name where it has no tool, and a tool that is called like one.
    { who: 'Ada', query: 'tool=tools/list', sees: 'tools/list error, tools/list error', rate: 100 },
    { who: 'Ada', query: 'tool=tools/call', sees: '', rate: 0 },
    { who: 'Ada', query: 'user_id=Carl', sees: 'tools/list error, tools/list error', rate: 100 },
    { who: 'Ada', query: 'session_id=ofBob', sees: 'search error', rate: 33.33 },
    { who: 'Alice', query: 'user_id=Carl', sees: '', rate: 0 },
    { who: 'Alice', query: 'session_id=ofBob', sees: '', rate: 0 },
    { who: 'Fin', query: 'session_id=ofBob', sees: '', rate: 0 },
    { who: 'Ada', query: 'to=2020-01-01', sees: '', rate: 0 },
    {
      who: 'Ada',
      query: 'from=2020-01-01&user_id=Carl',
      sees: 'tools/list error, tools/list error',
      rate: 100,
    },
  ]
  it.each(cases)('shows $who $sees of $rate % for $query', async ({ who, query = '', sees, rate }) => {
    const path = query.replace('=Carl', `=${people.id('Carl')}`).replace('=ofBob', `=${ofBob}`)
    const { errors, summary, total } = await list(who, `?${path}`)
    expect(described(errors).join(', ')).toBe(sees)
    expect(summary).toEqual({
      error_count: errors.filter(({ status }) => status === 'error').length,
      timeout_count: errors.filter(({ status }) => status === 'timeout').length,
      last_error_at: errors[0]?.timestamp ?? null,
      error_rate_percent: rate,
    })
    expect(total).toBe(errors.length)
  })

  it('has the summary and the total of all on every page, also after the last row', async () => {
    const whole = await list('Ada')
    const pages = (await walk(api.app, '/errors?limit=3', people.token('Ada'))) as unknown as Errors[]
    expect(pages.map(({ errors }) => errors.length)).toEqual([3, 3, 1])
    expect(pages.flatMap(({ errors }) => errors)).toEqual(whole.errors)
    const past = await list('Ada', `?cursor=${btoa(`0 ${crypto.randomUUID()}`)}`)
    expect(past.errors).toEqual([])
    for (const page of [...pages, past]) {
      expect([page.summary, page.total]).toEqual([whole.summary, whole.total])
    }
  })

  const wrong = ['limit=0', 'limit=201', 'severity=fatal', 'session_id=x', 'user_id=bob', 'tool=', 'cursor=x']
  it.each([...wrong, 'from=soon', 'timezone=Mars/Olympus'])('answers 400 to %s', async (query) => {
    const answer = await send(api.app, `GET /errors?${query}`, { token: people.token('Ada') })
    expectProblem(answer, 400, 'invalid_request')
    expect(answer.body.errors[0]).toEqual({ path: query.split('=')[0], message: expect.any(String) })
  })
})
