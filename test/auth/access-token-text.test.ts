import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import {
  ACCESS_TOKEN_PATTERN,
  accessTokenHash,
  accessTokenText,
  isAccessToken,
} from '../../src/auth/access-token-text.ts'

const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 })

it('is a prefix, 43 digits of secret and 6 of checksum, whatever the bytes', () => {
  const zeros = accessTokenText(new Uint8Array(32))
  expect(zeros).toMatch(/^mcpuc_pat_0{43}[0-9A-Za-z]{6}$/)
  fc.assert(
    fc.property(bytes, (random) => {
      const token = accessTokenText(random)
      expect(token).toMatch(ACCESS_TOKEN_PATTERN)
      expect(isAccessToken(token)).toBe(true)
    }),
  )
})

it('tells different bytes apart', () => {
  fc.assert(
    fc.property(bytes, bytes, (one, other) => {
      fc.pre(one.some((byte, place) => byte !== other[place]))
      expect(accessTokenText(one)).not.toBe(accessTokenText(other))
    }),
  )
})

it('has the checksum of zlib, so that scanners can compute it too', () => {
  // Python: zlib.crc32(b'0' * 43) is 0x7849568f, which in base 62 is 2CZclj.
  expect(accessTokenText(new Uint8Array(32))).toBe(`mcpuc_pat_${'0'.repeat(43)}2CZclj`)
})

it('knows a token in which one character is another', () => {
  const token = accessTokenText(crypto.getRandomValues(new Uint8Array(32)))
  for (let at = 0; at < token.length; at += 1) {
    const other = token[at] === 'x' ? 'y' : 'x'
    expect(isAccessToken(token.slice(0, at) + other + token.slice(at + 1)), `at ${at}`).toBe(false)
  }
  expect(isAccessToken(token.slice(0, -1))).toBe(false)
  expect(isAccessToken(`${token}0`)).toBe(false)
  expect(isAccessToken(`${token}\n`)).toBe(false)
  expect(isAccessToken(token.toUpperCase())).toBe(false)
})

it('is kept as the SHA-256 of the whole text', async () => {
  expect(await accessTokenHash('abc')).toBe(
    // FIPS 180-2, appendix B.1
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  )
})
