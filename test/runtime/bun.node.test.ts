import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { configured, type Entry, startEntry } from '../support/entry.ts'
import { behavesAsEverywhere } from './suite.ts'

const BUN = fileURLToPath(new URL('../../node_modules/.bin/bun', import.meta.url).href)

describe('the Bun entry', () => {
  let database: TestDatabase
  let entry: Entry
  beforeAll(async () => {
    database = await createTestDatabase()
    entry = await startEntry(BUN, 'src/bun.ts', configured(database.url))
  })
  afterAll(() => database[Symbol.asyncDispose]())

  behavesAsEverywhere(() => entry)

  it('stops when it is told to', async () => {
    expect(await entry.interrupt()).toBe(0)
  })
})
