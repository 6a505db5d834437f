import { describe, expect, test } from 'vitest'
import { type ConnectionProfile, profileFault, profileOf, withoutHints } from '../../src/db/profile.ts'
import { connectHere, createTestDatabase } from '../support/database.ts'

describe('the profile of a connection string', () => {
  test.each<[string, ConnectionProfile]>([
    ['postgres://app:x@127.0.0.1:5432/app', 'direct'],
    ['postgres://app:x@aws-0-eu-central-1.pooler.supabase.com:5432/postgres', 'direct'],
    ['postgres://app:x@aws-0-eu-central-1.pooler.supabase.com:6543/postgres', 'transaction-pooler'],
    ['postgres://app:x@bouncer.example.com:6432/app', 'transaction-pooler'],
    ['postgres://app:x@db.example.com/app?pgbouncer=true', 'transaction-pooler'],
    ['postgres://app:x@a.example.com:5432,b.example.com:5432/app', 'direct'],
    ['postgres://x:y@1a2b3c.hyperdrive.local:5432/1a2b3c', 'hyperdrive'],
    ['postgres://app:x@bouncer.example.com:6432/app?profile=direct', 'direct'],
    ['postgres://app:x@db.example.com/app?profile=transaction-pooler', 'transaction-pooler'],
    ['nonsense', 'direct'],
  ])('%s is %s', (url, profile) => {
    expect(profileOf(url)).toBe(profile)
  })

  test('names a fault of one that nobody knows', () => {
    expect(profileFault('postgres://app@db/app?profile=fast')).toContain('direct, hyperdrive')
    expect(profileFault('postgres://app@db/app?sslmode=require')).toBeNull()
  })
})

describe('a client behind a pooler', () => {
  test('sends no hint on as a setting of the server', async () => {
    expect(withoutHints('postgres://a:b@c/d?pgbouncer=true&sslmode=require&profile=direct')).toBe(
      'postgres://a:b@c/d?sslmode=require',
    )
    await using database = await createTestDatabase()
    const sql = await connectHere(`${database.url}?pgbouncer=true&connection_limit=1`, { max: 1 })
    const [row] = await sql`select count(*)::integer as prepared from pg_prepared_statements where ${true}`
    // Behind a transaction pooler every statement has no name.
    expect(row).toEqual({ prepared: 0 })
    await sql.end({ timeout: 1 })
    const direct = await connectHere(database.url, { max: 1 })
    const [own] = await direct`select count(*)::integer as prepared from pg_prepared_statements where ${true}`
    expect(own).toEqual({ prepared: 1 })
    await direct.end({ timeout: 1 })
  })
})
