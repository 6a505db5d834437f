// Databases that our migrations may meet. Node only: it reads files.
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { Sql } from '../../src/db/client.ts'
import { createTestDatabase, type TestDatabase } from './database.ts'

export const GROUNDS = ['empty', 'supabase', 'archon', 'archon on supabase', 'archon 001 only'] as const
export type Ground = (typeof GROUNDS)[number]

export const hasArchon = (ground: Ground): boolean => ground.startsWith('archon')

/** The users of Archon's history. */
export const ALICE = 'a11ce000-0000-4000-8000-000000000001'
export const BOB = 'b0b00000-0000-4000-8000-000000000002'
export const CAROL = 'ca401000-0000-4000-8000-000000000003'
/** The eight sessions of that history, counted from 1. */
export const archonSession = (number: number): string => `5e550000-0000-4000-8000-00000000000${number}`

const read = (file: string): Promise<string> =>
  readFile(fileURLToPath(new URL(file, import.meta.url).href), 'utf8')

/** Puts on an empty database what was there before us. */
async function prepare(owner: Sql, ground: Ground): Promise<void> {
  if (ground.includes('supabase')) await owner.unsafe(await read('supabase.sql')).simple()
  if (!hasArchon(ground)) return
  const [, ...parts] = (await read('archon.sql')).split(/^-- part: /m)
  const wanted = ground === 'archon 001 only' ? parts.filter((part) => /^.*001\n/.test(part)) : parts
  for (const part of wanted) await owner.unsafe(part.slice(part.indexOf('\n'))).simple()
}

/** A database of one's own as somebody else left it. */
export async function databaseOn(ground: Ground): Promise<TestDatabase> {
  const database = await createTestDatabase({}, 'empty')
  await prepare(database.owner, ground)
  return database
}
