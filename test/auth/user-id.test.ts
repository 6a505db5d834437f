import { describe, expect, it } from 'vitest'
import { identityIds } from '../../src/auth/user-id.ts'
import { uuidV5 } from '../../src/uuid.ts'

const V5 = /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

describe('uuidV5', () => {
  it('gives the example of RFC 9562 appendix A.4', async () => {
    const dns = '6ba7b810-9dad-11d1-80b4-00c04fd430c8'
    expect(await uuidV5(dns, 'www.example.com')).toBe('2ed6657d-e927-568b-95e1-2665a8aea6a2')
  })
})

describe('identityIds', () => {
  it('takes a subject that is a UUID as it is, lower-cased', async () => {
    const { firstId, fallbackId } = await identityIds('https://a', '0F8FAD5B-D9CB-469F-A165-70867728950E')
    expect(firstId).toBe('0f8fad5b-d9cb-469f-a165-70867728950e')
    expect(fallbackId).toMatch(V5)
  })

  it('makes a UUIDv5 of any other subject', async () => {
    const { firstId, fallbackId } = await identityIds('https://a', 'auth0|123')
    expect(firstId).toMatch(V5)
    expect(fallbackId).toBe(firstId)
  })

  it('never changes: ids are kept for ever', async () => {
    expect(await identityIds('https://a', 'ada')).toEqual({
      firstId: '741fcd69-8412-527a-920e-bcd4666c88c7',
      fallbackId: '741fcd69-8412-527a-920e-bcd4666c88c7',
    })
  })

  const pairs: [string, string][] = [
    ['https://a', 'b'],
    ['https://b', 'b'],
    ['https://a\nb', ''],
    ['https://a', '\nb'],
    ['https://a","b', ''],
  ]
  it('tells every pair of issuer and subject apart', async () => {
    const ids = await Promise.all(pairs.map(([issuer, subject]) => identityIds(issuer, subject)))
    expect(new Set(ids.map(({ fallbackId }) => fallbackId)).size).toBe(pairs.length)
  })
})
