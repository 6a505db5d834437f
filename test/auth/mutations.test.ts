import * as fc from 'fast-check'
import { Hono } from 'hono'
import { beforeAll, expect, it } from 'vitest'
import { userContext } from '../../src/auth/user-context.ts'
import { patience, tries } from '../support/deep.ts'
import {
  base64url,
  bearer,
  CLAIMS,
  ISSUER,
  issuerKey,
  keyServer,
  NOW,
  RESOURCE,
  SECRET,
  signed,
} from './support.ts'

/** Changes of tokens: 2,000, and 100,000 in `npm run test:deep`. */
const CASES = tries(2000, 100_000)

let app: Hono
let tokens: string[]
beforeAll(async () => {
  const keys = await Promise.all([issuerKey('ec'), issuerKey('ed', 'EdDSA'), issuerKey('rsa', 'RS256')])
  const server = keyServer(...keys.map(({ jwk }) => jwk))
  const audience = RESOURCE
  app = new Hono()
  app.use(
    userContext({
      resource: RESOURCE,
      now: () => NOW,
      tokens: { secret: SECRET, jwksUrl: server.url, issuer: ISSUER, audience, fetch: server.fetch },
    }),
  )
  app.get('/', (c) => c.text('accepted'))
  tokens = [await signed(), ...(await Promise.all(keys.map(({ sign }) => sign())))]
})

const digits = Array.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_')
const character = fc.constantFrom(...digits, '.', '=', '+', '/', '~', ' ', '"', '\t')
const at = fc.nat(2000)
const header = fc.record(
  {
    alg: fc.constantFrom('none', 'HS256', 'HS512', 'RS256', 'PS256', 'ES256', 'ES384', 'EdDSA', '', 'hs256'),
    kid: fc.oneof(
      fc.constantFrom('ec', 'ed', 'rsa', '__proto__', ''),
      fc.string(),
      fc.integer(),
      fc.constant(null),
    ),
    typ: fc.anything(),
    crit: fc.oneof(fc.array(fc.string()), fc.constantFrom(['b64'], ['exp'], [])),
    b64: fc.boolean(),
    jwk: fc.dictionary(fc.string(), fc.string()),
    jku: fc.webUrl(),
    x5c: fc.array(fc.string()),
  },
  { requiredKeys: [] },
)

/** A part in place of another, where there is one. */
const withPart = (token: string, part: number, text: string): string => {
  const parts = token.split('.')
  parts[part] = text
  return Array.from(parts, (each) => each ?? '').join('.')
}

/** One change to a token that is good. It may change nothing. */
type Change = (token: string, others: readonly string[]) => string
const changes: fc.Arbitrary<Change> = fc.oneof(
  fc.tuple(at, character).map(([place, mark]): Change => (token) => {
    const index = place % token.length
    return token.slice(0, index) + mark + token.slice(index + 1)
  }),
  fc.tuple(at, character).map(([place, mark]): Change => (token) => {
    const index = place % (token.length + 1)
    return token.slice(0, index) + mark + token.slice(index)
  }),
  fc.tuple(at, fc.integer({ min: 1, max: 40 })).map(([place, length]): Change => (token) => {
    const index = place % token.length
    return token.slice(0, index) + token.slice(index + length)
  }),
  // Two characters change places.
  fc.tuple(at, at).map(([one, two]): Change => (token) => {
    const marks = Array.from(token)
    const [first, second] = [one % marks.length, two % marks.length]
    ;[marks[first], marks[second]] = [marks[second]!, marks[first]!]
    return marks.join('')
  }),
  // A part of another token, and parts in another order.
  fc.tuple(fc.nat(2), fc.nat(3), fc.nat(2)).map(
    ([part, other, from]): Change =>
      (token, others) =>
        withPart(token, part, others[other % others.length]?.split('.')[from] ?? ''),
  ),
  header.map(
    (made): Change =>
      (token) =>
        withPart(token, 0, base64url(made)),
  ),
  fc.dictionary(fc.constantFrom('sub', 'iss', 'aud', 'exp', 'nbf', 'role', 'x'), fc.jsonValue()).map(
    (claims): Change =>
      (token) =>
        withPart(token, 1, base64url({ ...CLAIMS, ...claims })),
  ),
  fc.uint8Array({ maxLength: 300 }).map(
    (bytes): Change =>
      (token) =>
        withPart(
          token,
          2,
          btoa(String.fromCharCode(...bytes))
            .replaceAll('+', '-')
            .replaceAll('/', '_')
            .replaceAll('=', ''),
        ),
  ),
)

it(
  `no token that was changed is accepted, and none breaks anything (${CASES.numRuns})`,
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(3), fc.array(changes, { minLength: 1, maxLength: 3 }), async (which, all) => {
        const token = tokens[which]!
        // What no header can carry is none of ours to refuse.
        const changed = all.reduce((text, change) => change(text === '' ? '.' : text, tokens), token).trim()
        // The same claims, kid and key may be put together again from parts.
        if (tokens.includes(changed) || /[^\t\x20-\xff]/.test(changed)) return
        const res = await app.request('/', bearer(changed))
        expect(res.status, changed).toBe(401)
      }),
      CASES,
    )
  },
  patience,
)
