import { describe, expect, it } from 'vitest'
import { ConfigError, readConfig, type Config, type Runtime } from '../src/config.ts'

type Env = Record<string, string>

const SECRET = 'marker-secret-'.repeat(3)
const PASSWORD = 'marker-password'
const DATABASE_URL = `postgres://app:${PASSWORD}@db.example.com:5432/mcp`

const PRODUCTION: Env = {
  NODE_ENV: 'production',
  DATABASE_URL,
  SUPABASE_JWT_SECRET: SECRET,
  JWKS_URL: 'https://id.example.com/jwks.json',
  JWT_ISSUER: 'https://id.example.com/auth/v1',
  JWT_AUDIENCE: 'authenticated, https://mcp.example.com/mcp',
  PUBLIC_URL: 'https://mcp.example.com/mcp',
  UPSTREAM_MCP_URL: 'http://10.0.0.7:3000/mcp',
  RATE_LIMIT: '60/10s',
  ALLOWED_ORIGINS: 'https://app.example.com, http://localhost:5173',
  TRUSTED_PROXIES: '1',
  OIDC_ISSUER: 'https://id.example.com',
  OIDC_CLIENT_ID: 'dashboard',
  OIDC_CLIENT_SECRET: 'marker-client-secret',
  COOKIE_KEY: SECRET,
  PORT: '80',
  HOST: '0.0.0.0',
}

const without = (...names: string[]): Env =>
  Object.fromEntries(Object.entries(PRODUCTION).filter(([name]) => !names.includes(name)))

/** The fault lines of an environment; none when it can be used. */
function faultsOf(env: Env, runtime: Runtime = 'node'): string[] {
  try {
    readConfig(env, runtime)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
}

const url = (given: string, example: string, https = true) =>
  `${given}: give an absolute ${https ? 'https' : 'http or https'} URL, such as ${example}`

const pointless = (name: string) =>
  `${name} is set without SUPABASE_JWT_SECRET or JWKS_URL: set one of these too, or unset ${name}`

describe('readConfig', () => {
  it.each(['node', 'bun'] as const)('makes of nothing the trial on this machine alone, on %s', (runtime) => {
    expect(readConfig({}, runtime)).toEqual({
      runtime,
      production: false,
      host: '127.0.0.1',
      port: 8787,
      publicUrl: 'http://127.0.0.1:8787/mcp',
      database: 'trial',
      tokens: 'trial',
      upstream: 'trial',
      upstreams: [],
      assertionKeys: undefined,
      oidc: 'trial',
      cookieKey: 'trial',
      rateLimit: undefined,
      allowedOrigins: undefined,
      trustedProxies: 0,
    } satisfies Config)
  })

  it('reads a whole production configuration', () => {
    expect(readConfig(PRODUCTION, 'node')).toEqual({
      runtime: 'node',
      production: true,
      host: '0.0.0.0',
      port: 80,
      publicUrl: 'https://mcp.example.com/mcp',
      database: { url: DATABASE_URL },
      tokens: {
        secret: SECRET,
        jwksUrl: 'https://id.example.com/jwks.json',
        issuer: 'https://id.example.com/auth/v1',
        audience: ['authenticated', 'https://mcp.example.com/mcp'],
      },
      upstream: { url: 'http://10.0.0.7:3000/mcp' },
      upstreams: [],
      assertionKeys: undefined,
      oidc: {
        issuer: 'https://id.example.com',
        clientId: 'dashboard',
        clientSecret: 'marker-client-secret',
      },
      cookieKey: { secret: SECRET },
      rateLimit: { limit: 60, windowSeconds: 10 },
      allowedOrigins: ['https://app.example.com', 'http://localhost:5173'],
      trustedProxies: 1,
    } satisfies Config)
  })

  it('takes an empty variable as one that is not set', () => {
    const empty = Object.fromEntries(Object.keys(PRODUCTION).map((name) => [name, '']))
    expect(readConfig(empty, 'node')).toEqual(readConfig({}, 'node'))
  })

  const readings: { name: string; env: Env; runtime?: Runtime; expected: Partial<Config> }[] = [
    {
      name: 'takes PUBLIC_URL as the audience when JWT_AUDIENCE is not set',
      env: without('JWT_AUDIENCE', 'JWKS_URL'),
      expected: {
        tokens: {
          secret: SECRET,
          issuer: 'https://id.example.com/auth/v1',
          audience: ['https://mcp.example.com/mcp'],
        },
      },
    },
    {
      name: 'replaces each trial part alone: the database',
      env: { DATABASE_URL },
      expected: { database: { url: DATABASE_URL }, tokens: 'trial', upstream: 'trial', oidc: 'trial' },
    },
    {
      name: 'replaces each trial part alone: the upstream',
      env: { UPSTREAM_MCP_URL: 'http://127.0.0.1:3000/mcp' },
      expected: { database: 'trial', tokens: 'trial', upstream: { url: 'http://127.0.0.1:3000/mcp' } },
    },
    {
      name: "turns the trial's sign-in off where its identity provider is replaced",
      env: { JWKS_URL: 'http://localhost:9999/jwks', JWT_ISSUER: 'me' },
      expected: {
        tokens: {
          jwksUrl: 'http://localhost:9999/jwks',
          issuer: 'me',
          audience: ['http://127.0.0.1:8787/mcp'],
        },
        oidc: 'off',
      },
    },
    {
      name: 'needs no upstream on a Worker: its entry has sample tools',
      env: without('UPSTREAM_MCP_URL', 'NODE_ENV'),
      runtime: 'worker',
      expected: { runtime: 'worker', production: false, upstream: 'trial' },
    },
    {
      name: 'serves no dashboard from a Worker without a key for its cookies: nowhere to keep one',
      env: without(
        'UPSTREAM_MCP_URL',
        'NODE_ENV',
        'OIDC_ISSUER',
        'OIDC_CLIENT_ID',
        'OIDC_CLIENT_SECRET',
        'COOKIE_KEY',
      ),
      runtime: 'worker',
      expected: { oidc: 'off', cookieKey: 'off' },
    },
    {
      name: 'believes a Worker that its upstream listens where another runtime would',
      env: { ...without('NODE_ENV', 'PORT', 'HOST'), UPSTREAM_MCP_URL: 'http://127.0.0.1:8787/mcp' },
      runtime: 'worker',
      expected: { upstream: { url: 'http://127.0.0.1:8787/mcp' } },
    },
    {
      name: 'puts an IPv6 address in brackets',
      env: { HOST: '::1' },
      expected: { publicUrl: 'http://[::1]:8787/mcp' },
    },
    {
      name: 'takes the brackets off HOST',
      env: { HOST: '[::1]', PORT: '0' },
      expected: { host: '::1', port: 0 },
    },
    {
      name: 'lets a container listen everywhere behind a public URL',
      env: { HOST: '0.0.0.0', PUBLIC_URL: 'http://localhost:8787/mcp' },
      expected: { host: '0.0.0.0', publicUrl: 'http://localhost:8787/mcp' },
    },
    {
      name: 'takes the origin of an extension',
      env: { ALLOWED_ORIGINS: 'chrome-extension://abc,https://a.example:8443' },
      expected: { allowedOrigins: ['chrome-extension://abc', 'https://a.example:8443'] },
    },
    {
      name: 'writes PUBLIC_URL in its one spelling',
      env: { PUBLIC_URL: 'HTTPS://MCP.Example.com:443/a/../mcp' },
      expected: { publicUrl: 'https://mcp.example.com/mcp' },
    },
    {
      name: 'adds no slash to it',
      env: { PUBLIC_URL: 'https://a.example' },
      expected: { publicUrl: 'https://a.example' },
    },
    {
      name: 'and takes none away',
      env: { PUBLIC_URL: 'https://a.example/' },
      expected: { publicUrl: 'https://a.example/' },
    },
  ]

  it.each(readings)('$name', ({ env, runtime = 'node', expected }) => {
    expect(readConfig(env, runtime)).toMatchObject(expected)
  })

  it.each([
    'postgresql://db.example.com/mcp',
    'postgres://u:p%40ss@[::1]:5432/mcp?sslmode=require',
    'postgres://u:p@one.example:5432,two.example:5433/mcp',
    'postgres://u@%2Fvar%2Frun%2Fpostgresql/mcp',
  ])('takes the database %s', (url) => {
    expect(readConfig({ DATABASE_URL: url }, 'node').database).toEqual({ url })
  })
})

describe('a value that is none', () => {
  const postgres = ': give postgres://USER:PASSWORD@HOST:5432/DATABASE'
  const resource = 'https://mcp.example.com/mcp'

  const cases: [name: string, text: string, fault: string][] = [
    [
      'DATABASE_URL',
      'db.example.com/mcp',
      `is no URL${postgres}, with special characters of the password percent-encoded`,
    ],
    ['DATABASE_URL', `mysql://u:${PASSWORD}@h/mcp`, `has the scheme mysql://${postgres}`],
    [
      'DATABASE_URL',
      `postgres://u:${PASSWORD}#1@h/mcp`,
      `is no URL${postgres}, with special characters of the password percent-encoded`,
    ],
    [
      'DATABASE_URL',
      `postgres://u:50%${PASSWORD}@h/mcp`,
      `has a % that encodes nothing${postgres}, with % itself written as %25`,
    ],
    ['DATABASE_URL', `postgres://u:${PASSWORD}@h`, `has no database name${postgres}`],
    ['DATABASE_URL', 'postgres:///', `has no host and no database name${postgres}`],
    [
      'SUPABASE_JWT_SECRET',
      'marker-secret',
      'has 13 bytes: give at least 32, as the identity provider has it',
    ],
    ['SUPABASE_JWT_SECRET', `${SECRET}\n`, 'begins or ends with white space: remove it'],
    [
      'JWKS_URL',
      'id.example.com/jwks',
      url('is no absolute URL', 'https://id.example.com/.well-known/jwks.json'),
    ],
    [
      'JWKS_URL',
      'http://id.example.com/jwks',
      url('(http://id.example.com) has http beyond loopback', 'https://id.example.com/.well-known/jwks.json'),
    ],
    [
      'JWKS_URL',
      'https://id.example.com/jwks#a',
      url('(https://id.example.com) has a fragment', 'https://id.example.com/.well-known/jwks.json'),
    ],
    ['JWT_ISSUER', 'i'.repeat(256), 'has 256 characters: give the iss of the tokens, 255 at most'],
    ['JWT_AUDIENCE', 'a,,b', 'is "a,,b": give values separated by single commas'],
    ['PUBLIC_URL', '/mcp', url('is no absolute URL', resource)],
    ['PUBLIC_URL', 'localhost:8787/mcp', url('is no absolute URL', resource)],
    [
      'PUBLIC_URL',
      'ftp://mcp.example.com/mcp',
      url('(ftp://mcp.example.com) has the scheme ftp://', resource),
    ],
    [
      'PUBLIC_URL',
      'http://mcp.example.com/mcp?a#b',
      url('(http://mcp.example.com) has http beyond loopback and a query and a fragment', resource),
    ],
    ['PUBLIC_URL', `https://u:${PASSWORD}@mcp.example.com/mcp`, url('has a user name or password', resource)],
    [
      'UPSTREAM_MCP_URL',
      `http://u:${PASSWORD}@10.0.0.7/mcp`,
      url('has a user name or password', 'http://127.0.0.1:3000/mcp', false),
    ],
    [
      'UPSTREAM_MCP_URL',
      'stdio://server',
      url('(stdio://server) has the scheme stdio://', 'http://127.0.0.1:3000/mcp', false),
    ],
    ...['60', '60/s', '0/60s', '60/0s', '1.5/60s', '60/1m', '-1/60s'].map(
      (text): [string, string, string] => [
        'RATE_LIMIT',
        text,
        `is "${text}": give calls per seconds as N/Ks with positive integers, such as 60/60s`,
      ],
    ),
    ['ALLOWED_ORIGINS', '*', 'is refused, * and null stand for too many pages: name each origin'],
    [
      'ALLOWED_ORIGINS',
      'https://*.example.com',
      'is refused, * and null stand for too many pages: name each origin',
    ],
    ['ALLOWED_ORIGINS', 'null', 'is refused, * and null stand for too many pages: name each origin'],
    [
      'ALLOWED_ORIGINS',
      'https://App.example.com/x',
      'is refused, an entry is not exact: write https://app.example.com',
    ],
    [
      'ALLOWED_ORIGINS',
      'https://a.example,b.example',
      'is refused, an entry is no origin: write scheme and host alone, such as https://app.example.com',
    ],
    [
      'ALLOWED_ORIGINS',
      `https://u:${PASSWORD}@a.example`,
      'is refused, an entry is no origin: write scheme and host alone, such as https://app.example.com',
    ],
    ['ALLOWED_ORIGINS', ',', 'has an empty entry: give origins separated by single commas'],
    ['TRUSTED_PROXIES', 'true', 'is "true": give an integer from 0 to 100, such as 1'],
    ['TRUSTED_PROXIES', '-1', 'is "-1": give an integer from 0 to 100, such as 1'],
    [
      'OIDC_ISSUER',
      'http://id.example.com',
      url('(http://id.example.com) has http beyond loopback', 'https://id.example.com'),
    ],
    ['COOKIE_KEY', 'marker-secret', 'has 13 bytes: give at least 32, such as from openssl rand -base64 48'],
    ['PORT', '65536', 'is "65536": give an integer from 0 to 65535, such as 8787'],
    ['PORT', 'tcp://10.0.0.1:80', 'is "tcp://10.0.0.1:80": give an integer from 0 to 65535, such as 8787'],
    ['PORT', ' ', 'begins or ends with white space: remove it'],
    [
      'HOST',
      'http://a.example',
      'is "http://a.example": give a host name or an address alone, such as 127.0.0.1',
    ],
    ['HOST', '999.0.0.1', 'is "999.0.0.1": give a host name or an address alone, such as 127.0.0.1'],
  ]

  it.each(cases)('%s %j', (name, text, fault) => {
    expect(faultsOf({ ...PRODUCTION, [name]: text })).toEqual([`${name} ${fault}`])
  })
})

describe('variables that are missing or contradict each other', () => {
  const own = 'UPSTREAM_MCP_URL is this server itself: give the URL of the MCP server to govern'
  const issuer = ': give the one accepted iss of the tokens, such as https://id.example.com'
  const publicUrl = ': give the URL that clients use, such as https://mcp.example.com/mcp'
  const open = (host: string) =>
    `PUBLIC_URL is not set, and HOST ${host} is open to other machines${publicUrl}`

  const cases: { name: string; env: Env; runtime?: Runtime; faults: string[] }[] = [
    {
      name: 'a secret without an issuer',
      env: { SUPABASE_JWT_SECRET: SECRET },
      faults: [`JWT_ISSUER is not set beside SUPABASE_JWT_SECRET${issuer}`],
    },
    {
      name: 'keys without an issuer, in production',
      env: without('JWT_ISSUER'),
      faults: [`JWT_ISSUER is not set beside SUPABASE_JWT_SECRET and JWKS_URL${issuer}`],
    },
    {
      name: "an issuer and an audience for the trial's tokens",
      env: { JWT_ISSUER: 'me', JWT_AUDIENCE: 'you' },
      faults: [pointless('JWT_ISSUER'), pointless('JWT_AUDIENCE')],
    },
    { name: 'a wildcard address', env: { HOST: '0.0.0.0' }, faults: [open('0.0.0.0')] },
    { name: 'the IPv6 wildcard', env: { HOST: '[::]' }, faults: [open('::')] },
    { name: 'an address of the network', env: { HOST: '10.0.0.5' }, faults: [open('10.0.0.5')] },
    {
      name: 'an upstream at PUBLIC_URL',
      env: { ...PRODUCTION, UPSTREAM_MCP_URL: 'https://mcp.example.com/mcp' },
      faults: [own],
    },
    {
      name: 'an upstream at the default',
      env: { UPSTREAM_MCP_URL: 'http://127.0.0.1:8787/mcp' },
      faults: [own],
    },
    {
      name: 'an upstream at its other name',
      env: { UPSTREAM_MCP_URL: 'http://localhost:8787/mcp' },
      faults: [own],
    },
    {
      name: 'an upstream behind the wildcard',
      env: { ...PRODUCTION, UPSTREAM_MCP_URL: 'http://localhost/mcp' },
      faults: [own],
    },
    {
      name: 'half a sign-in',
      env: { OIDC_ISSUER: 'https://id.example.com', COOKIE_KEY: SECRET },
      faults: [
        'OIDC_CLIENT_ID is not set beside OIDC_ISSUER: set all three, or none',
        'OIDC_CLIENT_SECRET is not set beside OIDC_ISSUER: set all three, or none',
      ],
    },
    {
      name: 'a sign-in on a Worker, whose cookies nobody could read',
      env: without('NODE_ENV', 'COOKIE_KEY'),
      runtime: 'worker',
      faults: [
        'COOKIE_KEY is not set beside OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET: give at least 32 bytes, such as from openssl rand -base64 48',
      ],
    },
  ]

  it.each(cases)('$name', ({ env, runtime, faults }) => {
    expect(faultsOf(env, runtime)).toEqual(faults)
  })

  const parts = ['DATABASE_URL', 'SUPABASE_JWT_SECRET or JWKS_URL', 'JWT_ISSUER', 'PUBLIC_URL']
  const refusals: { runtime: Runtime; env: Env; names: string[] }[] = [
    { runtime: 'node', env: { NODE_ENV: 'production' }, names: [...parts, 'UPSTREAM_MCP_URL', 'COOKIE_KEY'] },
    { runtime: 'bun', env: { NODE_ENV: 'production' }, names: [...parts, 'UPSTREAM_MCP_URL', 'COOKIE_KEY'] },
    {
      runtime: 'worker',
      env: { NODE_ENV: 'production' },
      names: [...parts, 'UPSTREAM_MCP_URL', 'COOKIE_KEY'],
    },
    { runtime: 'worker', env: {}, names: parts },
  ]

  it.each(refusals)('no trial part on $runtime with $env', ({ runtime, env, names }) => {
    const faults = faultsOf(env, runtime)
    expect(faults.map((fault) => fault.split(' is not set')[0])).toEqual(names)
  })

  it.each(['DATABASE_URL', 'PUBLIC_URL', 'UPSTREAM_MCP_URL'])('production without %s', (name) => {
    expect(faultsOf(without(name))).toEqual([
      expect.stringMatching(`^${name} is not set, and production takes no trial part: give `),
    ])
  })
})

describe('ConfigError', () => {
  const broken: Env = {
    NODE_ENV: 'production',
    DATABASE_URL: `postgres://app:${PASSWORD}@db.example.com`,
    SUPABASE_JWT_SECRET: 'marker-secret',
    JWKS_URL: `http://u:${PASSWORD}@id.example.com`,
    PUBLIC_URL: `marker-secret@mcp.example.com`,
    UPSTREAM_MCP_URL: `ftp://u:4711/${PASSWORD}@up.example/marker-secret`,
    RATE_LIMIT: 'fast',
    ALLOWED_ORIGINS: `https://u:${PASSWORD}@app.example.com`,
    TRUSTED_PROXIES: 'x',
    OIDC_ISSUER: `https://u:${PASSWORD}@id.example.com/marker-secret`,
    OIDC_CLIENT_SECRET: 'marker-secret',
    COOKIE_KEY: 'marker-secret',
    PORT: 'x',
    HOST: '/',
  }

  it('names every fault in one message, a line each', () => {
    const faults = faultsOf(broken)
    const sound = new Set(['NODE_ENV', 'OIDC_CLIENT_SECRET'])
    const names = Object.keys(broken).filter((name) => !sound.has(name))
    expect(new Set(faults.map((fault) => fault.split(' ')[0]))).toEqual(
      new Set([...names, 'JWT_ISSUER', 'OIDC_CLIENT_ID']),
    )
    const error = new ConfigError(faults)
    expect(error.name).toBe('ConfigError')
    expect(error.message.split('\n  ')).toEqual(['The configuration cannot be used:', ...faults])
  })

  it('holds no secret and no password of a URL', () => {
    expect(faultsOf(broken).join('\n')).not.toMatch(/marker|4711/)
  })
})
