import { Hono } from 'hono'
import { describe, expect, it } from 'vitest'
import { mcpMetadata } from '../../src/auth/mcp-metadata.ts'
import { ISSUER, RESOURCE, SECRET } from './support.ts'

const WELL_KNOWN = '/.well-known/oauth-protected-resource'
const verify = async () => ({ sub: 'ada' })
const OPTIONS = { resource: RESOURCE, tokens: { issuer: ISSUER } }

const appWith = (options: Parameters<typeof mcpMetadata>[0]) =>
  new Hono().route('/', mcpMetadata(options)).get('/health', (c) => c.text('ok'))

describe('mcpMetadata', () => {
  it.each([WELL_KNOWN, `${WELL_KNOWN}/mcp`])('serves the document at %s', async (path) => {
    const res = await appWith(OPTIONS).request(path)
    expect(res.status).toBe(200)
    expect(res.headers.get('content-type')).toBe('application/json')
    expect(res.headers.get('cache-control')).toBe('public, max-age=3600')
    expect(res.headers.get('access-control-allow-origin')).toBe('*')
    expect(await res.json()).toEqual({
      resource: RESOURCE,
      authorization_servers: [ISSUER],
      bearer_methods_supported: ['header'],
    })
  })

  it('takes the options of mcpUserContext as they are', async () => {
    const options = {
      resource: RESOURCE,
      tokens: { secret: SECRET, issuer: ISSUER, audience: RESOURCE },
      requiredScopes: ['mcp:use'],
      required: true,
      resourceName: 'Example',
    }
    const text = await (await appWith(options).request(WELL_KNOWN)).text()
    expect(JSON.parse(text)).toMatchObject({ scopes_supported: ['mcp:use'], resource_name: 'Example' })
    expect(text).not.toContain(SECRET)
  })

  it('keeps the resource letter by letter', async () => {
    const app = appWith({ ...OPTIONS, resource: 'https://mcp.example' })
    expect(await (await app.request(WELL_KNOWN)).json()).toMatchObject({ resource: 'https://mcp.example' })
  })

  it('is found under a path that a URL must encode', async () => {
    const app = appWith({ ...OPTIONS, resource: 'https://mcp.example/büro/mcp' })
    expect((await app.request(`${WELL_KNOWN}/b%C3%BCro/mcp`)).status).toBe(200)
  })

  it('answers a preflight of a client in a browser', async () => {
    const res = await appWith(OPTIONS).request(`${WELL_KNOWN}/mcp`, {
      method: 'OPTIONS',
      headers: {
        origin: 'https://app.example',
        'access-control-request-method': 'GET',
        'access-control-request-headers': 'mcp-protocol-version',
      },
    })
    expect(res.status).toBe(204)
    expect(res.headers.get('access-control-allow-origin')).toBe('*')
    expect(res.headers.get('access-control-allow-headers')).toBe('mcp-protocol-version')
  })

  it('leaves other routes alone', async () => {
    const app = appWith(OPTIONS)
    expect((await app.request('/health')).headers.get('access-control-allow-origin')).toBeNull()
    expect((await app.request(`${WELL_KNOWN}/other`)).status).toBe(404)
  })

  it('names other authorization servers and scopes when told', async () => {
    const servers = ['https://a.example', 'http://localhost:9000']
    const app = appWith({
      resource: RESOURCE,
      tokens: { verify },
      authorizationServers: servers,
      requiredScopes: ['a'],
      scopesSupported: ['a', 'b'],
    })
    expect(await (await app.request(WELL_KNOWN)).json()).toMatchObject({
      authorization_servers: servers,
      scopes_supported: ['a', 'b'],
    })
  })

  const wrong: [string, Parameters<typeof mcpMetadata>[0], string][] = [
    ['nobody issues tokens', { resource: RESOURCE, tokens: { verify } }, 'authorizationServers is missing'],
    ['an empty list', { ...OPTIONS, authorizationServers: [] }, 'authorizationServers is missing'],
    [
      'an issuer that is no URL',
      { ...OPTIONS, tokens: { issuer: 'supabase' } },
      '"supabase" must be an absolute URL',
    ],
    ['plain http', { ...OPTIONS, authorizationServers: ['http://a.example'] }, 'must use https'],
    ['no resource', { ...OPTIONS, resource: '/mcp' }, 'resource must be an absolute URL'],
  ]
  it.each(wrong)('stops the start: %s', (_, options, says) => {
    expect(() => mcpMetadata(options)).toThrow(TypeError)
    expect(() => mcpMetadata(options)).toThrow(says)
  })
})
