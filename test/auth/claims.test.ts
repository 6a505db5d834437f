import { describe, expect, it } from 'vitest'
import { readClaims } from '../../src/auth/claims.ts'
import type { Claims } from '../../src/variables.ts'
import { untyped } from './support.ts'

const read = (claims: Claims) => readClaims({ sub: 'ada', ...claims })

describe('readClaims', () => {
  it('reads a Supabase token', () => {
    expect(
      read({
        email: 'ada@example.com',
        role: 'authenticated',
        user_metadata: { full_name: 'Ada Lovelace' },
        app_metadata: { department: 'engineering', role: 'manager' },
        scope: 'mcp:read mcp:write',
      }),
    ).toEqual({
      kind: 'user',
      subject: 'ada',
      email: 'ada@example.com',
      name: 'Ada Lovelace',
      department: 'engineering',
      role: 'manager',
      scopes: ['mcp:read', 'mcp:write'],
    })
  })

  it('knows nothing of a user whose token holds a subject alone', () => {
    expect(read({})).toEqual({
      kind: 'user',
      subject: 'ada',
      email: null,
      name: null,
      department: null,
      role: 'member',
      scopes: [],
    })
  })

  const names: [string, Claims, string | null][] = [
    ['full_name first', { user_metadata: { full_name: 'Full', name: 'Short' }, name: 'Claim' }, 'Full'],
    ['then name', { user_metadata: { full_name: ' ', name: 'Short' }, name: 'Claim' }, 'Short'],
    ['then the claim', { user_metadata: { full_name: 7 }, name: 'Claim' }, 'Claim'],
    ['null user_metadata', { user_metadata: null, name: 'Claim' }, 'Claim'],
    ['text for user_metadata', { user_metadata: 'full_name', name: null }, null],
    ['trimmed', { name: '  Ada  ' }, 'Ada'],
    ['cut at 255 characters', { name: 'x'.repeat(300) }, 'x'.repeat(255)],
    ['never cut inside a character', { name: '😀'.repeat(300) }, '😀'.repeat(255)],
    ['without what Postgres cannot store', { name: 'A\u0000da\ud800' }, 'Ada'],
  ]
  it.each(names)('takes the name: %s', (_, claims, expected) => {
    expect(read(claims)?.name).toBe(expected)
  })

  const emails: [string, unknown, string | null][] = [
    ['as it is', 'ada@example.com', 'ada@example.com'],
    ['not text', { address: 'ada@example.com' }, null],
    ['too long to be kept whole', `${'a'.repeat(260)}@example.com`, null],
    ['with a NUL', 'ada\u0000@example.com', null],
  ]
  it.each(emails)('takes the e-mail: %s', (_, email, expected) => {
    expect(read({ email })?.email).toBe(expected)
  })

  const roles: [string, Claims, string][] = [
    ['app_metadata.role', { app_metadata: { role: 'finance' } }, 'finance'],
    ['an unknown role', { app_metadata: { role: 'root' } }, 'member'],
    ['another spelling', { app_metadata: { role: 'Admin' } }, 'member'],
    ['a list', { app_metadata: { role: ['admin'] } }, 'member'],
    ['null app_metadata', { app_metadata: null }, 'member'],
    ['user_metadata, which users can edit', { user_metadata: { role: 'admin' } }, 'member'],
    ['the top level, which is Postgres’s', { role: 'admin' }, 'member'],
    ['service in app_metadata', { app_metadata: { role: 'service' } }, 'member'],
    ['service_role in app_metadata', { app_metadata: { role: 'service_role' } }, 'member'],
  ]
  it.each(roles)('grants by %s', (_, claims, expected) => {
    expect(read(claims)).toMatchObject({ kind: 'user', role: expected })
  })

  it('never takes the department from user_metadata', () => {
    expect(read({ user_metadata: { department: 'board' } })?.department).toBeNull()
  })

  it('takes the top-level service_role for a program, whatever its subject says', () => {
    expect(readClaims({ sub: 'ada', role: 'service_role', app_metadata: { role: 'admin' } })).toMatchObject({
      kind: 'service',
      subject: null,
      role: 'service',
    })
  })

  const paths: [string, Claims, string | null][] = [
    ['https://x.example/department', { 'https://x.example/department': 'legal' }, 'legal'],
    ['org.unit.name', { org: { unit: { name: 'legal' } } }, 'legal'],
    ['org.unit', { org: { unit: { name: 'legal' } } }, null],
    ['org.unit.name', { org: null }, null],
    ['constructor.name', {}, null],
    ['__proto__.department', {}, null],
  ]
  it.each(paths)('follows the configured claim %s', (department, claims, expected) => {
    const bearer = readClaims({ sub: 'ada', ...claims }, { department, role: 'role' })
    expect(bearer?.department).toBe(expected)
  })

  const scopes: [string, Claims, string[]][] = [
    ['scope', { scope: ' a  b a ' }, ['a', 'b']],
    ['scp as text', { scp: 'a b' }, ['a', 'b']],
    ['scp as a list', { scp: ['a', 7, 'b'] }, ['a', 'b']],
    ['neither', { scope: 7 }, []],
  ]
  it.each(scopes)('reads scopes from %s', (_, claims, expected) => {
    expect(read(claims)?.scopes).toEqual(expected)
  })

  const subjects: [string, unknown][] = [
    ['missing', undefined],
    ['null', null],
    ['empty', ''],
    ['blank', '  '],
    ['a number', 7],
    ['longer than 255', 'x'.repeat(256)],
    ['with a NUL', 'a\u0000b'],
    ['with half a character', 'a\ud800'],
  ]
  it.each(subjects)('names nobody when the subject is %s', (_, sub) => {
    expect(readClaims(untyped({ sub }))).toBeNull()
  })
})
