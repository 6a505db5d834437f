import { Hono } from 'hono'
import { exportJWK, exportSPKI, SignJWT } from 'jose'
import { beforeAll, describe, expect, it } from 'vitest'
import { userContext } from '../../src/auth/user-context.ts'
import type { UserVariables } from '../../src/variables.ts'
import {
  base64url,
  bearer,
  CLAIMS,
  ISSUER,
  issuerKey,
  NOW,
  NOW_SECONDS,
  RESOURCE,
  SECRET,
} from './support.ts'

/*
 * The families of attacks of Project Wycheproof's vectors for JSON web signatures and keys, and of RFC 8725, made
 * here against the keys of these tests. Whoever attacks has the public keys, tokens that are good, and time.
 */

type Key = Awaited<ReturnType<typeof issuerKey>>
let ec: Key
let otherEc: Key
let rsa: Key
let ed: Key
let stranger: Key
let weak: { jwk: object; sign: (text: string) => Promise<Uint8Array> }
/** Whatever was fetched. */
const fetched: string[] = []
let app: Hono<{ Variables: UserVariables }>

const bytes = (text: string) => new TextEncoder().encode(text)
const encode = (part: Uint8Array): string =>
  btoa(String.fromCharCode(...part))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')
const decode = (text: string): Uint8Array =>
  Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (character) =>
    character.charCodeAt(0),
  )
const json = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))

async function hmac(secret: Uint8Array, text: string, hash = 'SHA-256'): Promise<Uint8Array> {
  const algorithm = { name: 'HMAC', hash }
  const key = await crypto.subtle.importKey('raw', Uint8Array.from(secret), algorithm, false, ['sign'])
  return new Uint8Array(await crypto.subtle.sign('HMAC', key, bytes(text)))
}
/** A token of any header and claims, as values or as the very text, signed with a secret. */
async function forged(header: unknown, claims: unknown = CLAIMS, secret = bytes(SECRET)): Promise<string> {
  const input = `${encode(bytes(json(header)))}.${encode(bytes(json(claims)))}`
  return `${input}.${encode(await hmac(secret, input))}`
}
const unsigned = (header: unknown, signature = ''): string =>
  `${base64url(header)}.${base64url(CLAIMS)}.${signature}`
const resigned = (token: string, change: (signature: Uint8Array) => Uint8Array): string => {
  const [header, claims, signature = ''] = token.split('.')
  return `${header}.${claims}.${encode(change(decode(signature)))}`
}
/** The same claims and signature under another header. */
const under = (token: string, header: object): string =>
  `${base64url(header)}.${token.split('.').slice(1).join('.')}`

beforeAll(async () => {
  ec = await issuerKey('ec')
  otherEc = await issuerKey('other-ec')
  rsa = await issuerKey('rsa', 'RS256')
  ed = await issuerKey('ed', 'EdDSA')
  stranger = await issuerKey('stranger')
  const algorithm = {
    name: 'RSASSA-PKCS1-v1_5',
    modulusLength: 1024,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: 'SHA-256',
  }
  const pair = (await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as CryptoKeyPair
  weak = {
    jwk: { ...(await exportJWK(pair.publicKey)), kid: 'weak' },
    sign: async (text) =>
      new Uint8Array(await crypto.subtle.sign(algorithm.name, pair.privateKey, bytes(text))),
  }
  const keys = [
    { ...ec.jwk, alg: 'ES256' },
    otherEc.jwk,
    { ...rsa.jwk, alg: 'RS256' },
    ed.jwk,
    weak.jwk,
    { kty: 'EC', crv: 'P-256', x: ec.jwk.x, y: rsa.jwk.n, kid: 'off-curve' },
    { kty: 'oct', k: encode(bytes('a-secret-that-was-published-by-mistake')), kid: 'oct' },
  ]
  const jwksUrl = 'https://issuer.example/jwks'
  const fetch = (url: string): Promise<Response> => {
    fetched.push(url)
    return Promise.resolve(Response.json({ keys }))
  }
  const tokens = { secret: SECRET, jwksUrl, issuer: ISSUER, audience: RESOURCE, fetch }
  app = new Hono<{ Variables: UserVariables }>()
  app.use(userContext({ resource: RESOURCE, now: () => NOW, tokens }))
  app.get('/', (c) => c.json(c.var.user))
})

const statusOf = async (token: string): Promise<number> => (await app.request('/', bearer(token))).status

it('the keys of these tests are good ones', async () => {
  for (const token of [await ec.sign(), await otherEc.sign(), await rsa.sign(), await ed.sign()])
    expect(await statusOf(token)).toBe(200)
  expect(await statusOf(await forged({ alg: 'HS256' }))).toBe(200)
})

type Attack = [name: string, token: () => string | Promise<string>]
function refuses(family: string, attacks: Attack[], status = 401): void {
  describe(family, () => {
    it.each(attacks)('%s', async (_, token) => {
      const text = await token()
      const res = await app.request('/', bearer(text))
      expect(await res.text()).not.toContain('"subject"')
      expect(res.status).toBe(status)
      if (status === 401) expect(res.headers.get('www-authenticate')).toContain('error="invalid_token"')
    })
  })
}

refuses('no signature at all', [
  ...['none', 'None', 'NONE', 'nOnE', 'none ', ''].flatMap((alg): Attack[] => [
    [`alg "${alg}", nothing signed`, () => unsigned({ alg })],
    [`alg "${alg}", some signature`, () => unsigned({ alg }, 'AAAA')],
    [`alg "${alg}" over a good signature`, async () => under(await ec.sign(), { alg, kid: 'ec' })],
  ]),
  ['alg null', () => unsigned({ alg: null })],
  ['alg a list', () => unsigned({ alg: ['HS256'] })],
  ['alg an object', () => unsigned({ alg: { toString: 'HS256' } })],
  ['no alg', () => unsigned({ typ: 'JWT' }, 'AAAA')],
  ...['ES256', 'RS256', 'EdDSA', 'HS256'].map((alg): Attack => [
    `${alg} with an empty signature`,
    () => unsigned({ alg, kid: { ES256: 'ec', RS256: 'rsa', EdDSA: 'ed' }[alg] }),
  ]),
])

const publicTexts: [string, () => Promise<string>][] = [
  ['PEM', () => exportSPKI(rsa.publicKey)],
  ['PEM with its last line end', async () => `${await exportSPKI(rsa.publicKey)}\n`],
  ['PEM in one line', async () => (await exportSPKI(rsa.publicKey)).replaceAll('\n', '')],
  ['PEM of the curve', () => exportSPKI(ec.publicKey)],
  ['JWK', () => Promise.resolve(JSON.stringify(rsa.jwk))],
  ['modulus', () => Promise.resolve(rsa.jwk.n ?? '')],
  ['point', () => Promise.resolve(`${ec.jwk.x}${ec.jwk.y}`)],
  ['nothing', () => Promise.resolve('\0')],
]
refuses('a public key taken for a secret', [
  ...publicTexts.flatMap(([name, text]) =>
    [undefined, 'rsa', 'ec'].map((kid): Attack => [
      `${name}, kid ${kid}`,
      async () => forged({ alg: 'HS256', kid }, CLAIMS, bytes(await text())),
    ]),
  ),
  [
    'DER',
    async () =>
      forged(
        { alg: 'HS256' },
        CLAIMS,
        new Uint8Array((await crypto.subtle.exportKey('spki', rsa.publicKey)) as ArrayBuffer),
      ),
  ],
  [
    'a symmetric key in the set of public ones',
    () => forged({ alg: 'HS256', kid: 'oct' }, CLAIMS, bytes('a-secret-that-was-published-by-mistake')),
  ],
])

refuses('a key of one kind for another', [
  [
    'the secret’s signature as RS256',
    async () => under(await forged({ alg: 'HS256' }), { alg: 'RS256', kid: 'rsa' }),
  ],
  ['the secret as HS384', () => forged({ alg: 'HS384' })],
  ['the secret as HS512', () => forged({ alg: 'HS512' })],
  ['one key under the name of another', () => stranger.sign({}, { kid: 'ec' })],
  ['a good key under the name of another', () => otherEc.sign({}, { kid: 'ec' })],
  ['a curve under the name of an RSA key', () => ec.sign({}, { kid: 'rsa' })],
  [
    'an RSA key as PS256, of which the set says RS256',
    async () => under(await rsa.sign(), { alg: 'PS256', kid: 'rsa' }),
  ],
  ['an RSA key as RS512', async () => under(await rsa.sign(), { alg: 'RS512', kid: 'rsa' })],
  ['a P-256 key as ES384', async () => under(await ec.sign(), { alg: 'ES384', kid: 'ec' })],
  [
    'a P-384 key as ES256',
    async () =>
      (await issuerKey('ec', 'ES384'))
        .sign({}, { kid: 'ec' })
        .then((token) => under(token, { alg: 'ES256', kid: 'ec' })),
  ],
  ['an Edwards key as ES256', async () => under(await ed.sign(), { alg: 'ES256', kid: 'ed' })],
  [
    'algorithms that exist and are not taken',
    async () => under(await ec.sign(), { alg: 'ES256K', kid: 'ec' }),
  ],
  ['encryption', () => `${base64url({ alg: 'dir', enc: 'A256GCM' })}..AAAA.AAAA.AAAA`],
])

refuses('keys and addresses in the header', [
  ['jwk', () => stranger.sign({}, { kid: undefined, jwk: stranger.jwk })],
  ['jwk beside a good kid', () => stranger.sign({}, { kid: 'ec', jwk: stranger.jwk })],
  [
    'jwk of the secret kind',
    () => forged({ alg: 'HS256', jwk: { kty: 'oct', k: 'AAAA' } }, CLAIMS, new Uint8Array(3)),
  ],
  ['jku', () => stranger.sign({}, { jku: 'https://evil.example/jwks' })],
  [
    'jku with the issuer’s name in it',
    () => stranger.sign({}, { jku: 'https://issuer.example@evil.example/jwks' }),
  ],
  ['x5u', () => stranger.sign({}, { kid: 'ec', x5u: 'https://evil.example/cert' })],
  ['x5c', () => stranger.sign({}, { kid: 'ec', x5c: ['MIIB'] })],
  ['x5t', () => stranger.sign({}, { kid: 'ec', x5t: 'AAAA' })],
  ...[
    '../../../../dev/null',
    "ec' or '1'='1",
    'https://evil.example/jwks',
    '__proto__',
    'constructor',
    'x'.repeat(2000),
    '',
    'EC',
    ' ec',
  ].map((kid): Attack => [`kid ${kid.slice(0, 30)}`, () => stranger.sign({}, { kid })]),
  ...[1, null, true, ['ec'], { ec: 1 }].map((kid): Attack => [
    `kid ${JSON.stringify(kid)}`,
    async () => under(await stranger.sign(), { alg: 'ES256', kid }),
  ]),
])

it('fetches keys from the address that is configured, and from no other', async () => {
  await statusOf(await stranger.sign({}, { jku: 'https://evil.example/jwks', x5u: 'https://evil.example' }))
  expect(new Set(fetched)).toEqual(new Set(['https://issuer.example/jwks']))
})

refuses('extensions that must be understood', [
  ...[['exp'], ['b64'], ['http://example.com/unknown'], [], 'b64', [1], ['alg']].map((crit): Attack => [
    `crit ${JSON.stringify(crit)}`,
    () =>
      forged({ alg: 'HS256', crit, b64: true, exp: 1, 'http://example.com/unknown': 1 }).then((token) =>
        JSON.stringify(crit) === '["b64"]' ? under(token, { alg: 'HS256', crit: ['b64', 'b64'] }) : token,
      ),
  ]),
  [
    'a payload that is not encoded (b64 false)',
    async () => {
      const header = base64url({ alg: 'HS256', b64: false, crit: ['b64'] })
      const signature = await hmac(bytes(SECRET), `${header}.${JSON.stringify(CLAIMS)}`)
      return `${header}.${base64url(CLAIMS)}.${encode(signature)}`
    },
  ],
])

/** The order of P-256 (SEC 2 section 2.4.2). */
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
const number = (part: Uint8Array): bigint => part.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n)
const octets = (value: bigint): Uint8Array =>
  Uint8Array.from({ length: 32 }, (_, place) => Number((value >> BigInt(8 * (31 - place))) & 255n))
const pair = (r: bigint, s: bigint): Uint8Array => new Uint8Array([...octets(r), ...octets(s)])
const halves = (signature: Uint8Array): [bigint, bigint] => [
  number(signature.subarray(0, 32)),
  number(signature.subarray(32)),
]
/** As certificates have signatures (RFC 3279 section 2.2.3). */
const der = (signature: Uint8Array): Uint8Array => {
  const integers = halves(signature).map((value) => [0x02, 33, 0, ...octets(value)])
  const body = integers.flat()
  return new Uint8Array([0x30, body.length, ...body])
}

refuses('signatures of curves that are none', [
  ['r and s zero', async () => resigned(await ec.sign(), () => pair(0n, 0n))],
  ['r zero', async () => resigned(await ec.sign(), (good) => pair(0n, halves(good)[1]))],
  ['s zero', async () => resigned(await ec.sign(), (good) => pair(halves(good)[0], 0n))],
  ['r and s one', async () => resigned(await ec.sign(), () => pair(1n, 1n))],
  ['r and s the order', async () => resigned(await ec.sign(), () => pair(ORDER, ORDER))],
  ['s the order', async () => resigned(await ec.sign(), (good) => pair(halves(good)[0], ORDER))],
  [
    'r with its sign changed',
    async () => resigned(await ec.sign(), (good) => pair(ORDER - halves(good)[0], halves(good)[1])),
  ],
  [
    'r and s swapped',
    async () => resigned(await ec.sign(), (good) => pair(halves(good)[1], halves(good)[0])),
  ],
  ['as DER', async () => resigned(await ec.sign(), der)],
  ['cut', async () => resigned(await ec.sign(), (good) => good.subarray(0, 63))],
  ['longer', async () => resigned(await ec.sign(), (good) => new Uint8Array([...good, 0]))],
  ['with a zero before', async () => resigned(await ec.sign(), (good) => new Uint8Array([0, ...good]))],
  ['twice', async () => resigned(await ec.sign(), (good) => new Uint8Array([...good, ...good]))],
  ['Edwards, all zero', async () => resigned(await ed.sign(), () => new Uint8Array(64))],
  ['RSA, all zero', async () => resigned(await rsa.sign(), () => new Uint8Array(256))],
  ['RSA, one', async () => resigned(await rsa.sign(), () => new Uint8Array([...new Uint8Array(255), 1]))],
  ['RSA, cut', async () => resigned(await rsa.sign(), (good) => good.subarray(1))],
  ['HMAC, cut to half', async () => resigned(await forged({ alg: 'HS256' }), (good) => good.subarray(0, 16))],
  ['HMAC, one byte', async () => resigned(await forged({ alg: 'HS256' }), (good) => good.subarray(0, 1))],
])

it('takes s with its sign changed for the same token, as ECDSA has it: it names nobody else', async () => {
  const token = await ec.sign()
  const other = resigned(token, (good) => pair(halves(good)[0], ORDER - halves(good)[1]))
  expect(other).not.toBe(token)
  const [one, two] = await Promise.all(
    [token, other].map(async (text) => (await app.request('/', bearer(text))).json()),
  )
  expect(two).toEqual(one)
})

// A key of the issuer's that cannot be used is no fault of the token: 503, as while keys cannot be fetched.
refuses(
  'keys that nobody should use',
  [
    [
      'RSA of 1024 bits',
      async () => {
        const input = `${base64url({ alg: 'RS256', kid: 'weak' })}.${base64url(CLAIMS)}`
        return `${input}.${encode(await weak.sign(input))}`
      },
    ],
    ['a point that is not on the curve', () => stranger.sign({}, { kid: 'off-curve' })],
  ],
  503,
)

refuses('other spellings of a good token', [
  ...['=', '==', ' x', '\tx', '%20', '.', '..', '.e30'].map((tail): Attack => [
    `followed by ${JSON.stringify(tail)}`,
    async () => `${await ec.sign()}${tail}`,
  ]),
  ...[0, 1, 2].map((part): Attack => [
    `part ${part} padded`,
    async () =>
      (await ec.sign())
        .split('.')
        .map((text, at) => (at === part ? `${text}==` : text))
        .join('.'),
  ]),
  [
    'the signature in the other alphabet',
    async () => {
      for (;;) {
        const [header, claims, signature = ''] = (await ec.sign()).split('.')
        const other = signature.replaceAll('-', '+').replaceAll('_', '/')
        if (other !== signature) return `${header}.${claims}.${other}`
      }
    },
  ],
  [
    'bits left over at the end that are not zero',
    async () => {
      const token = await forged({ alg: 'HS256' })
      const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
      // The last of 43 characters holds 4 bits of the 32 bytes.
      return token.slice(0, -1) + digits[digits.indexOf(token.at(-1)!) + 1]
    },
  ],
  ['the parts in another order', async () => (await ec.sign()).split('.').toReversed().join('.')],
  ['as one of a list', async () => `${await ec.sign()},${await ec.sign()}`],
  [
    'JSON in place of the compact form',
    async () => JSON.stringify({ payload: (await ec.sign()).split('.')[1] }),
  ],
  ['claims that are no object', () => forged({ alg: 'HS256' }, '[]')],
  ...['null', '"sub"', '1', '{', '', '{"exp":1'].map((text): Attack => [
    `claims ${JSON.stringify(text.slice(0, 10))}`,
    () => forged({ alg: 'HS256' }, text),
  ]),
  ['a header that is a list', () => forged('["HS256"]')],
  ['a token in a token', async () => forged({ alg: 'HS256', cty: 'JWT' }, await ec.sign())],
])

refuses('claims of the wrong kind', [
  ...([[], ['https://other.example'], {}, { 0: RESOURCE }, [[RESOURCE]], 1, null, true, ''] as unknown[]).map(
    (aud): Attack => [`aud ${JSON.stringify(aud)}`, () => forged({ alg: 'HS256' }, { ...CLAIMS, aud })],
  ),
  ...[
    `${RESOURCE}.evil.example`,
    `${RESOURCE}?`,
    `x${RESOURCE}`,
    RESOURCE.toUpperCase(),
    `${RESOURCE} `,
    `${RESOURCE},x`,
  ].map((aud): Attack => [`aud ${aud}`, () => forged({ alg: 'HS256' }, { ...CLAIMS, aud })]),
  ...([null, '1', [NOW_SECONDS + 60], {}, true] as unknown[]).map((exp): Attack => [
    `exp ${JSON.stringify(exp)}`,
    () => forged({ alg: 'HS256' }, { ...CLAIMS, exp }),
  ]),
  [
    'exp beyond numbers',
    () => forged({ alg: 'HS256' }, JSON.stringify(CLAIMS).replace(/"exp":\d+/, '"exp":-1e999')),
  ],
  ...[61, 3600, 1e9].map((seconds): Attack => [
    `iat ${seconds} s ahead`,
    () => forged({ alg: 'HS256' }, { ...CLAIMS, iat: NOW_SECONDS + seconds }),
  ]),
  ...([['x'], {}, 1, null] as unknown[]).map((iss): Attack => [
    `iss ${JSON.stringify(iss)}`,
    () => forged({ alg: 'HS256' }, { ...CLAIMS, iss: iss ?? [ISSUER, ISSUER] }),
  ]),
  ...([1, null, ['x'], {}, true, '', ' ', '\u0000', 'a\ud800', '\udc00', 'x'.repeat(256)] as unknown[]).map(
    (sub): Attack => [
      `sub ${JSON.stringify(sub).slice(0, 20)}`,
      () => forged({ alg: 'HS256' }, { ...CLAIMS, sub }),
    ],
  ),
])

const seen = async (claims: unknown, header: unknown = { alg: 'HS256' }) => {
  const res = await app.request('/', bearer(await forged(header, claims)))
  return {
    status: res.status,
    user: res.status === 200 ? await res.json() : null,
  }
}

describe('what a good token says strangely', () => {
  const text = JSON.stringify(CLAIMS)

  it('twice is what it says last, for everybody who reads it (RFC 7519 section 4)', async () => {
    const twice = text.replace('{', '{"sub":"root","role":"service_role","app_metadata":{"role":"admin"},')
    const last = twice.replace(/\}$/, ',"role":"authenticated","app_metadata":{}}')
    expect((await seen(last)).user).toMatchObject({ subject: CLAIMS.sub, role: 'member' })
    expect((await seen(CLAIMS, '{"alg":"none","alg":"HS256"}')).status).toBe(200)
    expect((await seen(CLAIMS, '{"alg":"HS256","alg":"none"}')).status).toBe(401)
  })

  it('of prototypes gives no role', async () => {
    const poisoned = text.replace(
      '{',
      '{"__proto__":{"app_metadata":{"role":"admin"}},"app_metadata":{"__proto__":{"role":"admin"}},',
    )
    expect((await seen(poisoned)).user).toMatchObject({ role: 'member' })
    expect(({} as { role?: string }).role).toBeUndefined()
  })

  it.each<[string, unknown]>([
    ['a list', ['admin']],
    ['an object', { admin: true }],
    ['in capitals', 'ADMIN'],
    ['with a space', 'admin '],
    ['the program’s', 'service'],
  ])('a role that is %s is none', async (_, role) => {
    expect((await seen({ ...CLAIMS, app_metadata: { role } })).user).toMatchObject({ role: 'member' })
  })

  it('of half a character keeps nothing of it', async () => {
    const half = { email: 'a\ud800@example.com', name: 'A\udfffB', app_metadata: { department: '\ud800' } }
    expect((await seen({ ...CLAIMS, ...half })).user).toMatchObject({
      email: null,
      name: 'AB',
      department: null,
    })
  })

  it('deep as a well is read, or refused', async () => {
    for (const depth of [100, 1000, 2400]) {
      const well = '['.repeat(depth) + ']'.repeat(depth)
      const { status } = await seen(text.replace('{', `{"deep":${well},`))
      expect([200, 401], `at ${depth}`).toContain(status)
    }
    expect((await seen(text.replace('{', `{"huge":"${'x'.repeat(9000)}",`))).status).toBe(401)
    const many = Array.from({ length: 400 }, (_, at) => `"c${at}":${at}`).join(',')
    expect((await seen(text.replace('{', `{${many},`))).status).toBe(200)
  })

  it('in bytes that are no text is refused', async () => {
    const input = `${base64url({ alg: 'HS256' })}.${encode(new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]))}`
    const token = `${input}.${encode(await hmac(bytes(SECRET), input))}`
    expect(await statusOf(token)).toBe(401)
  })
})

it('a JWT signed in another program’s style is still a token', async () => {
  const jwt = new SignJWT(CLAIMS).setProtectedHeader({ alg: 'HS256', typ: 'at+jwt' })
  expect(await statusOf(await jwt.sign(bytes(SECRET)))).toBe(200)
})
