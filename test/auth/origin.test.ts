import { Hono } from 'hono'
import { describe, expect, it } from 'vitest'
import { browserGuard, type BrowserGuardOptions } from '../../src/auth/origin.ts'
import { userContext } from '../../src/auth/user-context.ts'
import { bearer, ISSUER, RESOURCE, SECRET, signed } from './support.ts'

const LOCAL = 'http://127.0.0.1:8787/mcp'

const appWith = (options: Partial<BrowserGuardOptions> = {}) =>
  new Hono().use(browserGuard({ resource: RESOURCE, ...options })).all('*', (c) => c.text('ok'))

describe('browserGuard: Host', () => {
  const hosts: [string, number][] = [
    ['mcp.example', 200],
    ['mcp.example:8443', 200],
    ['MCP.example', 200],
    ['localhost:8787', 200],
    ['127.0.0.1:8787', 200],
    ['[::1]:8787', 200],
    ['behind.example', 200],
    ['evil.example', 403],
    ['mcp.example.evil.example', 403],
    ['evil-mcp.example', 403],
    ['localhost.evil.example', 403],
    ['localhost@evil.example', 403],
    ['evil.example@localhost', 403],
    ['evil.example/@localhost', 403],
    ['localhost:80:80', 403],
    ['localhost:a', 403],
    ['192.168.0.1', 403],
    ['[::2]', 403],
    ['mcp.example, evil.example', 403],
    ['', 403],
  ]
  it.each(hosts)('answers Host %j with %i', async (host, status) => {
    const app = appWith({ allowedHosts: ['behind.example'] })
    const res = await app.request(LOCAL, { headers: { host } })
    expect(res.status).toBe(status)
    if (status === 403) {
      expect(await res.json()).toEqual({
        jsonrpc: '2.0',
        id: null,
        error: { code: -32000, message: 'Host not allowed', data: { code: 'host_not_allowed' } },
      })
    }
  })

  it('takes the host of the URL where there is no header (HTTP/2)', async () => {
    expect((await appWith().request('https://mcp.example/mcp')).status).toBe(200)
    expect((await appWith().request('https://evil.example/mcp')).status).toBe(403)
  })

  it('does not believe X-Forwarded-Host', async () => {
    const headers = { host: 'evil.example', 'x-forwarded-host': 'mcp.example' }
    expect((await appWith().request(LOCAL, { headers })).status).toBe(403)
  })
})

describe('browserGuard: Origin', () => {
  interface Case extends Partial<BrowserGuardOptions> {
    origin: string
    status: number
  }
  const allowedOrigins = ['https://App.example', 'http://localhost:3000', 'vscode-webview://panel']
  const cases: Case[] = [
    { origin: 'https://mcp.example', status: 200 },
    { origin: 'https://mcp.example:443', status: 200 },
    { origin: 'http://mcp.example', status: 403 },
    { origin: 'https://mcp.example:8443', status: 403 },
    { origin: 'https://evil.example', status: 403 },
    { origin: 'https://mcp.example.evil.example', status: 403 },
    { origin: 'https://mcp.example@evil.example', status: 403 },
    { origin: 'http://localhost:3000', status: 403 },
    { origin: 'null', status: 403 },
    { origin: '', status: 403 },
    { origin: 'mcp.example', status: 403 },
    { origin: 'https://mcp.example, https://evil.example', status: 403 },
    { origin: 'https://app.example', allowedOrigins, status: 200 },
    { origin: 'http://localhost:3000', allowedOrigins, status: 200 },
    { origin: 'http://localhost:3001', allowedOrigins, status: 403 },
    { origin: 'vscode-webview://panel', allowedOrigins, status: 200 },
    { origin: 'vscode-webview://other', allowedOrigins, status: 403 },
    { origin: 'https://mcp.example', allowedOrigins, status: 200 },
    { origin: 'http://localhost:6274', resource: LOCAL, status: 200 },
    { origin: 'https://[::1]:1', resource: LOCAL, status: 200 },
    { origin: 'http://localhost.evil.example', resource: LOCAL, status: 403 },
    { origin: 'vscode-webview://localhost', resource: LOCAL, status: 403 },
    { origin: 'null', resource: LOCAL, status: 403 },
    { origin: 'http://localhost:6274', resource: LOCAL, allowedOrigins: [], status: 403 },
  ]
  it.each(cases)('answers Origin $origin with $status', async ({ origin, status, ...options }) => {
    const res = await appWith(options).request(LOCAL, { method: 'POST', headers: { origin } })
    expect(res.status).toBe(status)
    expect(res.headers.get('vary')).toBe('Origin')
    expect(res.headers.get('access-control-allow-origin')).toBe(status === 200 ? origin : null)
    if (status === 403)
      expect(await res.json()).toMatchObject({
        id: null,
        error: { code: -32000, message: 'Origin not allowed' },
      })
  })

  it('lets programs pass: they send no Origin', async () => {
    const res = await appWith().request(LOCAL)
    expect(res.status).toBe(200)
    expect(res.headers.get('vary')).toBeNull()
    expect(res.headers.get('access-control-allow-origin')).toBeNull()
  })
})

const guarded = () =>
  new Hono()
    .use(browserGuard({ resource: RESOURCE, allowedOrigins: ['https://app.example'] }))
    .use(userContext({ resource: RESOURCE, tokens: { secret: SECRET, issuer: ISSUER, audience: RESOURCE } }))
    .all('/mcp', () => new Response('data: 1\n\n', { headers: { 'mcp-session-id': 's', vary: 'Accept' } }))

describe('browserGuard: CORS', () => {
  const origin = 'https://app.example'

  it('answers a preflight before any token is asked for', async () => {
    const res = await guarded().request(RESOURCE, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers':
          'authorization, mcp-param-region, mcp-param-, x-other, Mcp-Param-Org.Id',
      },
    })
    expect(res.status).toBe(204)
    expect(res.headers.get('access-control-allow-origin')).toBe(origin)
    expect(res.headers.get('access-control-allow-methods')).toBe('GET,POST,DELETE,OPTIONS')
    expect(res.headers.get('access-control-allow-credentials')).toBeNull()
    expect(res.headers.get('vary')).toContain('Origin')
    expect(res.headers.get('access-control-allow-headers')?.split(',')).toEqual([
      'Authorization',
      'Content-Type',
      'Accept',
      'Last-Event-ID',
      'Mcp-Session-Id',
      'MCP-Protocol-Version',
      'Mcp-Method',
      'Mcp-Name',
      'mcp-param-region',
      'Mcp-Param-Org.Id',
    ])
  })

  it('refuses a preflight from elsewhere', async () => {
    const res = await guarded().request(RESOURCE, {
      method: 'OPTIONS',
      headers: { origin: 'https://evil.example' },
    })
    expect(res.status).toBe(403)
    expect(res.headers.get('access-control-allow-origin')).toBeNull()
  })

  const EXPOSED = 'Mcp-Session-Id,WWW-Authenticate,Retry-After,RateLimit,RateLimit-Policy,X-Request-Id'

  it('lets pages read refusals', async () => {
    const res = await guarded().request(RESOURCE, { method: 'POST', headers: { origin } })
    expect(res.status).toBe(401)
    expect(res.headers.get('www-authenticate')).toContain('resource_metadata=')
    expect(res.headers.get('access-control-allow-origin')).toBe(origin)
    expect(res.headers.get('access-control-expose-headers')).toBe(EXPOSED)
    expect(res.headers.get('vary')).toBe('Origin')
  })

  it('lets pages read answers, those of handlers that make their own Response too', async () => {
    const exp = Math.floor(Date.now() / 1000) + 60
    const { headers } = bearer(await signed({ exp }))
    const res = await guarded().request(RESOURCE, { method: 'POST', headers: { ...headers, origin } })
    expect(res.status).toBe(200)
    expect(res.headers.get('mcp-session-id')).toBe('s')
    expect(res.headers.get('access-control-allow-origin')).toBe(origin)
    expect(res.headers.get('access-control-expose-headers')).toBe(EXPOSED)
    expect(res.headers.get('vary')).toBe('Accept, Origin')
  })

  it('lets pages read failures', async () => {
    const app = new Hono().use(browserGuard({ resource: RESOURCE })).all('*', () => {
      throw new Error('oops')
    })
    app.onError((_, c) => c.text('failed', 500))
    const res = await app.request(RESOURCE, { headers: { origin: 'https://mcp.example' } })
    expect(res.status).toBe(500)
    expect(res.headers.get('access-control-allow-origin')).toBe('https://mcp.example')
  })
})

describe('browserGuard: options', () => {
  const wrong: [Partial<BrowserGuardOptions>, string][] = [
    [{ resource: '/mcp' }, 'resource must be an absolute URL'],
    [{ allowedOrigins: ['*'] }, 'allowedOrigins: "*" is no origin'],
    [{ allowedOrigins: ['app.example'] }, 'allowedOrigins: "app.example" is no origin'],
    [{ allowedOrigins: ['https://app.example/path'] }, 'is no origin'],
    [{ allowedOrigins: ['http://localhost:3000/'] }, 'write https://host or https://host:port'],
    [{ allowedOrigins: ['null'] }, 'allowedOrigins: "null" is no origin'],
    [{ allowedHosts: ['https://h.example'] }, 'allowedHosts: "https://h.example" is no hostname'],
    [{ allowedHosts: ['h.example:80'] }, 'allowedHosts: "h.example:80" is no hostname'],
  ]
  it.each(wrong)('%j stops the start', (options, says) => {
    expect(() => appWith(options)).toThrow(TypeError)
    expect(() => appWith(options)).toThrow(says)
  })
})
