import { describe, expect, it } from 'vitest'
import { ConfigError, readConfig } from '../src/config.ts'
import { readUpstreams } from '../src/config-upstreams.ts'

const GITHUB = { path: '/mcp/github', url: 'https://github.example.com/mcp' }
const read = (list: unknown, env: Record<string, string> = {}) => readUpstreams(JSON.stringify(list), env)

describe('a list of upstream servers', () => {
  it('needs no more than a path and a URL each', () => {
    expect(read([GITHUB])).toEqual({
      value: [
        {
          ...GITHUB,
          name: 'github',
          headers: {},
          requiredScopes: [],
          rateLimit: undefined,
          quota: {},
          assertion: undefined,
          timeoutSeconds: undefined,
        },
      ],
      faults: [],
    })
  })

  it('says what is different at each, with secrets from the environment', () => {
    const given = {
      ...GITHUB,
      name: 'hub',
      headers: { authorization: 'Bearer ${HUB_TOKEN}' },
      requiredScopes: ['hub:read'],
      rateLimit: '10/60s',
      quota: { tools: { search: { estimate: { cost: '0.05' } } } },
      assertion: ['email'],
      timeoutSeconds: 20,
    }
    expect(read([given], { HUB_TOKEN: 's3cret' })).toEqual({
      value: [
        {
          ...given,
          headers: { authorization: 'Bearer s3cret' },
          rateLimit: { limit: 10, windowSeconds: 60 },
        },
      ],
      faults: [],
    })
  })

  it('with true for the assertion tells all that is known of a user', () => {
    expect(read([{ ...GITHUB, assertion: true }]).value[0]!.assertion).toEqual([
      'email',
      'name',
      'department',
      'role',
    ])
  })

  const faults: { name: string; list: unknown; faults: string[] }[] = [
    {
      name: 'an object',
      list: {},
      faults: ['is no list of servers: give at least [{ "path": "/mcp/tools", "url": "https://…" }]'],
    },
    {
      name: 'nothing in it',
      list: [{}],
      faults: ['server 1: path is missing', 'server 1: url is missing'],
    },
    {
      name: 'what is no object',
      list: ['https://tools.example.com/mcp'],
      faults: [
        'server 1: is no object: give at least { "path": "/mcp/tools", "url": "https://…" }',
        'server 1: path is missing',
        'server 1: url is missing',
      ],
    },
    {
      name: 'a name that nobody reads',
      list: [{ ...GITHUB, ratelimit: '1/1s' }],
      faults: [
        'server 1: has ratelimit, which nobody reads: give path, url, name, headers, requiredScopes, rateLimit, quota, assertion, timeoutSeconds',
      ],
    },
    {
      name: 'a pattern for a path',
      list: [{ ...GITHUB, path: '/mcp/:any' }],
      faults: ['server 1: path is no plain path: give one such as /mcp/github'],
    },
    {
      name: 'a path of this server',
      list: [{ ...GITHUB, path: '/api/mcp' }],
      faults: ["server 1: path is this server's own: give one such as /mcp/github"],
    },
    {
      name: 'the same path and name twice',
      list: [GITHUB, GITHUB],
      faults: [
        'has path /mcp/github twice: give each server its own',
        'has name github twice: give each server its own',
      ],
    },
    {
      name: 'a secret that is not there',
      list: [{ ...GITHUB, headers: { authorization: 'Bearer ${HUB_TOKEN}' } }],
      faults: ['server 1: headers.authorization needs HUB_TOKEN, which is not set: set it'],
    },
    {
      name: 'wrong kinds of everything',
      list: [
        {
          path: 1,
          url: 'ftp://u:secret@x/',
          name: 'a b',
          headers: 'x',
          requiredScopes: 'a b',
          rateLimit: 'fast',
          quota: { estimate: { cost: 1 } },
          assertion: ['password'],
          timeoutSeconds: '20',
        },
      ],
      faults: [
        'server 1: path is no text',
        'server 1: headers must be an object of names and texts',
        'server 1: assertion must be true or a list of email, name, department, role',
        'server 1: url has the scheme ftp:// and a user name or password: give an absolute http or https URL, such as https://tools.example.com/mcp',
        'server 1: name must be 1 to 40 letters, digits, dots, dashes or underscores',
        'server 1: requiredScopes must be a list of scopes without spaces, quotes or backslashes',
        'server 1: rateLimit is "fast": give calls per seconds as N/Ks with positive integers, such as 60/60s',
        'server 1: timeoutSeconds must be a whole number of seconds, such as 60',
        "server 1: quota: estimate.cost must be USD as a decimal string such as '0.05', got 1",
      ],
    },
  ]
  it.each(faults)('is refused for $name, with every fault at once', ({ list, faults: expected }) => {
    expect(read(list).faults.toSorted()).toEqual(expected.toSorted())
  })
})

const faultsOf = (env: Record<string, string>, readFile?: (path: string) => string): string[] => {
  try {
    readConfig(env, 'node', readFile)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
}

const gone = () => {
  throw new Error('ENOENT: no such file, upstreams.json')
}

describe('the environment', () => {
  const UPSTREAMS = JSON.stringify([GITHUB])

  it('names a file with the list', () => {
    const config = readConfig({ UPSTREAMS_FILE: 'upstreams.json' }, 'node', () => UPSTREAMS)
    expect([config.upstream, config.upstreams.map(({ path }) => path)]).toEqual(['none', ['/mcp/github']])
  })

  it('may have a server at PUBLIC_URL beside', () => {
    const config = readConfig({ UPSTREAMS, UPSTREAM_MCP_URL: 'https://one.example.com/mcp' }, 'node')
    expect([config.upstream, config.upstreams.length]).toEqual([{ url: 'https://one.example.com/mcp' }, 1])
  })

  it('has a key made for the assertion on a trial alone', () => {
    const list = JSON.stringify([{ ...GITHUB, assertion: true }])
    expect(readConfig({ UPSTREAMS: list }, 'node').assertionKeys).toBe('trial')
    expect(faultsOf({ UPSTREAMS: list, NODE_ENV: 'production' })).toContain(
      'ASSERTION_KEYS is not set, and production takes no trial part: give a private EC key on P-256 as a JWK (README), or no assertion',
    )
  })

  const faults: { name: string; env: Record<string, string>; readFile?: () => string; fault: string }[] = [
    {
      name: 'a file that is not there',
      env: { UPSTREAMS_FILE: 'upstreams.json' },
      readFile: gone,
      fault: 'UPSTREAMS_FILE cannot be read: give the path of a file that this process may read',
    },
    {
      name: 'a file where there are none',
      env: { UPSTREAMS_FILE: 'upstreams.json' },
      fault: 'UPSTREAMS_FILE is set where there are no files: put the JSON into UPSTREAMS',
    },
    {
      name: 'two lists',
      env: { UPSTREAMS_FILE: 'upstreams.json', UPSTREAMS },
      fault: 'UPSTREAMS_FILE is set beside UPSTREAMS: set one of them',
    },
    {
      name: 'no JSON',
      env: { UPSTREAMS: '[{"headers":{"authorization":"secret"' },
      fault: 'UPSTREAMS is no JSON: give a list such as [{ "path": "/mcp/tools", "url": "https://…" }]',
    },
    {
      name: 'itself',
      env: { UPSTREAMS: JSON.stringify([{ ...GITHUB, url: 'http://127.0.0.1:8787/mcp' }]) },
      fault: 'UPSTREAMS has at /mcp/github this server itself: give the URL of the MCP server to govern',
    },
    {
      name: 'two servers at one path',
      env: {
        UPSTREAMS: JSON.stringify([{ ...GITHUB, path: '/mcp' }]),
        UPSTREAM_MCP_URL: 'https://one.example.com/',
      },
      fault: 'UPSTREAMS has the path of PUBLIC_URL, where UPSTREAM_MCP_URL is: leave out one of them',
    },
    {
      name: 'a secret as a key',
      env: { ASSERTION_KEYS: '{"kty":"oct","k":"c2VjcmV0"}' },
      fault: 'ASSERTION_KEYS key 1 is no EC key on P-256: ES256 needs kty EC, crv P-256, x and y',
    },
  ]
  it.each(faults)('is refused with $name', ({ env, readFile, fault }) => {
    expect(faultsOf(env, readFile)).toEqual([fault])
  })
})
