import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeJwt, jwtVerify } from 'jose'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadIdentity, mintToken, type TokenRequest } from '../../src/trial/identity.ts'
import { peopleOf, rememberPerson, TRIAL_USERS } from '../../src/trial/people.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'identity-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const claimsOf = async (request: TokenRequest) => decodeJwt(await mintToken(loadIdentity(folder), request))

describe("the trial's identity", () => {
  test('stays the same, for its owner alone to read', () => {
    const data = join(folder, 'new', '.data')
    const identity = loadIdentity(data)
    expect(loadIdentity(data)).toEqual(identity)
    expect(new TextEncoder().encode(identity.secret).length).toBeGreaterThanOrEqual(32)
    expect(statSync(join(data, 'identity.json')).mode & 0o777).toBe(0o600)
    expect(readdirSync(data)).toEqual(['identity.json'])
  })

  test('differs from that of another trial', () => {
    expect(loadIdentity(join(folder, 'a')).secret).not.toBe(loadIdentity(join(folder, 'b')).secret)
  })

  test.each(['', '{', '{"issuer":"x"}', 'null'])('is never guessed from a broken file: %j', (text) => {
    writeFileSync(join(folder, 'identity.json'), text)
    expect(() => loadIdentity(folder)).toThrow("is not the trial's identity: remove it to get a new one")
  })
})

describe('a token', () => {
  test('verifies with the identity, for thirty days', async () => {
    const identity = loadIdentity(folder)
    const token = await mintToken(identity, {
      name: 'Bob Builder',
      role: 'manager',
      department: 'Engineering',
    })
    const { payload, protectedHeader } = await jwtVerify(token, new TextEncoder().encode(identity.secret), {
      issuer: identity.issuer,
      audience: identity.audience,
      algorithms: ['HS256'],
      requiredClaims: ['sub', 'iat', 'exp', 'jti'],
    })
    expect(protectedHeader).toEqual({ alg: 'HS256', typ: 'JWT' })
    expect(payload).toMatchObject({
      email: 'bob-builder@example.com',
      user_metadata: { full_name: 'Bob Builder' },
      app_metadata: { role: 'manager', department: 'Engineering' },
    })
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(30 * 24 * 60 * 60)
  })

  test('names the same user for the same name, whatever the rest', async () => {
    const { sub } = await claimsOf({ name: 'alice' })
    expect(sub).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(await claimsOf({ name: ' Alice ', role: 'admin', email: 'a@example.org' })).toMatchObject({
      sub,
      email: 'a@example.org',
    })
    expect((await claimsOf({ name: 'alicia' })).sub).not.toBe(sub)
  })

  test('has the scopes that are asked for, and none otherwise', async () => {
    expect((await claimsOf({ name: 'alice', scope: 'mcp secrets:read' }))['scope']).toBe('mcp secrets:read')
    expect(await claimsOf({ name: 'alice' })).not.toHaveProperty('scope')
  })

  test('makes its user somebody who can sign in, as the latest says; a program is nobody', async () => {
    await rememberPerson(folder, { name: 'Dora', role: 'admin' })
    await rememberPerson(folder, { name: 'dora', department: 'Sales' })
    await rememberPerson(folder, { name: 'nightly export', role: 'service' })
    const names = (await peopleOf(folder)).map(({ user_metadata: user }) => user.full_name)
    expect(names).toEqual(['Alice Admin', 'Bob Builder', 'Carol Counter', 'dora'])
    expect((await peopleOf(folder)).at(-1)?.app_metadata).toEqual({ role: 'member', department: 'Sales' })
  })

  test('of a program names no user', async () => {
    const claims = await claimsOf({ name: 'nightly export', role: 'service' })
    expect(claims).toMatchObject({ role: 'service_role' })
    expect(claims.sub).toBeUndefined()
    expect(claims).not.toHaveProperty('email')
  })

  test.each([
    ['José Núñez', 'jose-nunez@example.com'],
    ["O'Brien, Jr.", 'o-brien-jr@example.com'],
  ])('of %s gets the mailbox %s', async (name, email) => {
    expect(await claimsOf({ name })).toMatchObject({ email, user_metadata: { full_name: name } })
  })

  test('of a name without Latin letters gets a mailbox too', async () => {
    expect((await claimsOf({ name: '李雷' }))['email']).toMatch(/^user-[0-9a-f]{8}@example\.com$/)
  })

  test.each(['', '   ', 'x'.repeat(101)])('is refused to the name %j', async (name) => {
    await expect(claimsOf({ name })).rejects.toThrow('A name has 1 to 100 characters')
  })

  test.each(TRIAL_USERS)('is made for $name', async (user) => {
    expect(await claimsOf(user)).toMatchObject({
      app_metadata: { role: user.role, department: user.department },
    })
  })
})
