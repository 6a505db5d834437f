import { describe, expect, it } from 'vitest'
import { challenger, metadataUrl, readCredentials } from '../../src/auth/challenge.ts'

describe('metadataUrl', () => {
  const cases: [string, string][] = [
    ['https://h.example', 'https://h.example/.well-known/oauth-protected-resource'],
    ['https://h.example/', 'https://h.example/.well-known/oauth-protected-resource'],
    ['https://h.example/mcp', 'https://h.example/.well-known/oauth-protected-resource/mcp'],
    ['https://h.example:8443/a/mcp', 'https://h.example:8443/.well-known/oauth-protected-resource/a/mcp'],
    ['https://h.example/mcp?k=1', 'https://h.example/.well-known/oauth-protected-resource/mcp?k=1'],
  ]
  it.each(cases)('of %s is %s', (resource, expected) => {
    expect(metadataUrl(resource)).toBe(expected)
  })
})

describe('challenger', () => {
  it('names where to sign in, and no error, to who sent no token', () => {
    expect(challenger('https://h.example/mcp', [])()).toBe(
      'Bearer resource_metadata="https://h.example/.well-known/oauth-protected-resource/mcp"',
    )
  })

  it('names error, description and every scope', () => {
    const challenge = challenger('https://h.example/mcp', ['a', 'b:c'])
    expect(challenge({ error: 'insufficient_scope', description: 'More is needed.' })).toBe(
      'Bearer error="insufficient_scope", error_description="More is needed.", scope="a b:c", ' +
        'resource_metadata="https://h.example/.well-known/oauth-protected-resource/mcp"',
    )
  })

  it('cannot be broken out of', () => {
    const challenge = challenger('https://h.example/mcp', [])
    expect(challenge({ description: 'a"b\\c\r\nSet-Cookie: é😀' })).toContain(
      String.raw`error_description="a\"b\\c??Set-Cookie: ???", resource`,
    )
  })
})

describe('readCredentials', () => {
  it.each(['Bearer abc', 'bearer abc', 'BEARER   abc'])('reads %s', (header) => {
    expect(readCredentials(header)).toEqual({ kind: 'bearer', token: 'abc' })
  })

  it('finds none where there is no header', () => {
    expect(readCredentials(null)).toEqual({ kind: 'none' })
  })

  const refused: [string, string, string][] = [
    ['another scheme', 'Basic YTpi', 'unauthorized'],
    ['an empty header', '', 'unauthorized'],
    ['no scheme', 'abc.def.ghi', 'unauthorized'],
    ['two joined schemes', 'Basic YTpi, Bearer abc', 'unauthorized'],
    ['no token', 'Bearer', 'invalid_token'],
    ['an empty token', 'Bearer ', 'invalid_token'],
    ['a space inside', 'Bearer a b', 'invalid_token'],
    ['two headers joined', 'Bearer abc, Bearer def', 'invalid_token'],
    ['a quoted token', 'Bearer "abc"', 'invalid_token'],
    ['a control character', 'Bearer a\u0000b', 'invalid_token'],
    ['more than 8 KiB', `Bearer ${'a'.repeat(8 * 1024 + 1)}`, 'invalid_token'],
  ]
  it.each(refused)('refuses %s', (_, header, code) => {
    expect(readCredentials(header)).toMatchObject({ kind: 'refused', refusal: { code } })
  })

  it('takes no time over a hostile header', () => {
    const start = performance.now()
    readCredentials(`Bearer ${'='.repeat(8000)}!`)
    readCredentials(`Bearer ${' '.repeat(8000)}!`)
    expect(performance.now() - start).toBeLessThan(100)
  })
})
