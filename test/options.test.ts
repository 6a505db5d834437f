import { describe, expect, it } from 'vitest'
import { mcpUserContext } from '../src/mcp-user-context.ts'
import { session } from '../src/sessions/session.ts'
import { meter } from '../src/usage/meter.ts'
import { unreachable } from './support/ledger.ts'
import { optionsFor } from './support/mcp.ts'

const sql = unreachable()
const NO_SQL = {} as { sql: typeof sql }
const SQL_FAULT = 'sql must be a postgres.js client, or a function that gives one'

describe('wrong options stop the start, with every fault in one message', () => {
  const cases: { name: string; create: () => unknown; message: string }[] = [
    {
      name: 'mcpUserContext() without a database, with times that are none',
      create: () =>
        mcpUserContext({
          ...optionsFor(sql),
          sql: NO_SQL.sql,
          holdSeconds: 0,
          maxBodyBytes: 1.5,
          session: { timeoutSeconds: -1, derivedTimeoutSeconds: Number.NaN },
        }),
      message:
        `mcpUserContext: ${SQL_FAULT}; holdSeconds must be a positive integer, got 0; ` +
        'maxBodyBytes must be a positive integer, got 1.5; timeoutSeconds must be a positive integer, got -1; ' +
        'derivedTimeoutSeconds must be a positive integer, got NaN',
    },
    {
      name: 'session() with more seconds than a column holds',
      create: () => session({ sql, timeoutSeconds: 2 ** 31 }),
      message: 'session: timeoutSeconds must be a positive integer, got 2147483648',
    },
    { name: 'session() without a database', create: () => session(NO_SQL), message: `session: ${SQL_FAULT}` },
    {
      name: 'meter() with a hold of no time',
      create: () => meter({ sql, holdSeconds: 0.5 }),
      message: 'meter: holdSeconds must be a positive integer, got 0.5',
    },
    { name: 'meter() without a database', create: () => meter(NO_SQL), message: `meter: ${SQL_FAULT}` },
  ]
  for (const { name, create, message } of cases) {
    it(name, () => {
      expect(create).toThrow(new TypeError(message))
    })
  }

  it('but those that are left out, and a function that gives the client, are fine', () => {
    const source = () => sql
    expect([
      mcpUserContext({ ...optionsFor(sql), sql: source }),
      session({ sql: source }),
      meter({ sql: source }),
    ]).toEqual([expect.any(Function), expect.any(Function), expect.any(Function)])
  })

  it('are not changed by those who read them', () => {
    const options = { ...optionsFor(sql), session: { timeoutSeconds: 5 } }
    const before = structuredClone({ ...options, sql: undefined })
    mcpUserContext(options)
    session({ sql, timeoutSeconds: 5 })
    expect({ ...options, sql: undefined }).toEqual(before)
  })
})
