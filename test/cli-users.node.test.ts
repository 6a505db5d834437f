import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { CLEAN_ENV } from './support/clean-env.ts'
import { membershipsOf } from '../src/reports/memberships.ts'
import { createTestDatabase, type TestDatabase } from './support/database.ts'

const CLI = fileURLToPath(new URL('../src/cli.ts', import.meta.url).href)
const [ANA, BO, CY] = [1, 2, 3].map((place) => `a0000000-0000-4000-8000-00000000000${place}`) as [
  string,
  string,
  string,
]

let database: TestDatabase
let folder: string
beforeAll(async () => {
  database = await createTestDatabase()
  folder = mkdtempSync(join(tmpdir(), 'users-'))
})
afterAll(async () => {
  rmSync(folder, { recursive: true })
  await database[Symbol.asyncDispose]()
})
/** Ana of Sales; Bo of nowhere; and two who share an e-mail. */
beforeEach(async () => {
  await database.owner`delete from archon_mcp_users`
  await database.owner`
    insert into archon_mcp_users (user_id, issuer, subject, email, claimed_department)
    values (${ANA}, 'i', 'ana', 'ana@example.com', 'Sales'), (${BO}, 'i', 'bo', 'bo@example.com', null),
           (${CY}, 'i', 'cy', 'cy@example.com', 'Legal'), (gen_random_uuid(), 'j', 'cy', 'CY@example.com', 'Legal')`
})

async function run(content: string | Uint8Array, ...options: string[]) {
  const file = join(folder, 'users.csv')
  writeFileSync(file, content)
  const env = { ...CLEAN_ENV, DATABASE_URL: database.ownerUrl }
  const child = spawn(process.execPath, [CLI, 'users', 'import', file, ...options], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { out: out.trim().split('\n'), err: err.trim().split('\n'), code: code as unknown }
}

const rows = async () => {
  const found = await database.sql<{ subject: string; department: string | null; role: string | null }[]>`
    select subject, assigned_department as department, assigned_role as role
    from archon_mcp_users where assigned_department is not null or assigned_role is not null order by issuer, subject`
  return found.map(({ subject, department, role }) => [subject, department, role])
}

describe('users import', () => {
  test('sets where users belong from now on, and says whom it changed', async () => {
    const { out, code } = await run(
      'email,department,role\nANA@example.com,Research,manager\nbo@example.com,Sales,\n',
    )
    expect([code, out]).toEqual([
      0,
      [
        'who              department         role',
        'ana@example.com  Sales -> Research  member -> manager',
        'bo@example.com   none -> Sales      member',
        '2 users changed',
      ],
    ])
    expect(await rows()).toEqual([
      ['ana', 'Research', 'manager'],
      ['bo', 'Sales', null],
    ])
    expect((await membershipsOf(database.sql, ANA)).map(({ department }) => department)).toEqual([
      'Sales',
      'Research',
    ])
    const acts = await database.sql`
      select action, target_id, details from archon_mcp_audit where actor_kind = 'cli' order by target_id, action`
    expect([...acts]).toEqual([
      { action: 'user.department_set', target_id: ANA, details: { from: null, to: 'Research' } },
      { action: 'user.role_set', target_id: ANA, details: { from: null, to: 'manager' } },
      { action: 'user.department_set', target_id: BO, details: { from: null, to: 'Sales' } },
    ])
    // What is not said stays; said again, nothing changes.
    expect((await run('email,department\nana@example.com,Research\n')).out).toEqual([
      '0 users changed, 1 user as they were',
    ])
    expect(await rows()).toContainEqual(['ana', 'Research', 'manager'])
  })

  const files: [string, string][] = [
    ['user_id', `user_id;department\r\n${CY.toUpperCase()};Legal\r\n`],
    ['issuer and subject', '"subject","Issuer","department"\n"cy","i","Legal"\n'],
  ]
  test.each(files)('names users by %s', async (_, content) => {
    expect((await run(content)).code).toBe(0)
    // Set, it wins over what a token says.
    expect(await rows()).toEqual([['cy', 'Legal', null]])
  })

  test('changes nothing when it is a rehearsal', async () => {
    const { out, code } = await run('email,department\nbo@example.com,Sales\n', '--dry-run')
    expect([code, out.slice(1)]).toEqual([
      0,
      ['bo@example.com  none -> Sales  member', '1 user would change'],
    ])
    expect(await rows()).toEqual([])
  })

  test('tells every fault with its line, and imports nothing', async () => {
    const { err, code, out } = await run(
      [
        'email,department,role',
        'ana@example.com,Research,',
        'bo@example.com,,king',
        'nobody@example.com,Sales,',
        'cy@example.com,Sales,',
        'Ana@example.com,Sales,',
        'bo@example.com',
        `,${'x'.repeat(256)},`,
      ].join('\n'),
    )
    expect([code, out]).toEqual([1, ['']])
    expect(err).toEqual([
      'line 3: department is empty',
      'line 3: role "king" is not one of member, manager, finance, admin',
      'line 4: nobody with the email "nobody@example.com" has signed in here',
      'line 5: 2 users have the email "cy@example.com": name them by user_id',
      'line 6: the same user as in line 2',
      'line 7: 1 cells under 3 columns',
      'line 8: email is empty',
      'line 8: department is longer than 255 characters',
      'Nothing was imported',
    ])
    expect(await rows()).toEqual([])
  })

  const heads: [string, string[]][] = [
    ['name,department', ['line 1: no column is called "name"', 'line 1: name users by one of']],
    ['email,user_id,department', ['line 1: name users by one of']],
    ['issuer,email,department', ['line 1: name users by one of']],
    ['email,email,departement', ['no column is called "departement"', '"email" is there more', 'is missing']],
    [
      'email,department,from',
      ['no column is called "from"', 'an import holds from now on, and changes nothing of the past'],
    ],
  ]
  test.each(heads)('refuses a table with the columns %s', async (head, faults) => {
    const { err, code } = await run(`${head}\nx,y,z\n`)
    expect(code).toBe(1)
    expect(err).toEqual(faults.map((fault) => expect.stringContaining(fault) as unknown))
  })

  const others: [string, string | Uint8Array, string][] = [
    ['without rows', 'email,department\n', 'names no users'],
    ['that is not UTF-8', Uint8Array.from([0x65, 0xe9, 0x2c, 0x0a]), 'is not UTF-8: save it as "CSV UTF-8"'],
    ['that is no CSV', 'email,department\n"x,y\n', 'line 2: a quotation mark has no partner'],
  ]
  test.each(others)('refuses a file %s', async (_, content, says) => {
    const { err, code } = await run(content)
    expect([code, err.join('\n')]).toEqual([1, expect.stringContaining(says)])
  })
})
