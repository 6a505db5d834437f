import { describe, expect, it } from 'vitest'
import { ROUTES } from '../../src/api/routes.ts'
import { apiApp, useApi } from './support.ts'

const api = useApi()

interface Operation {
  operationId: string
  description: string
  'x-roles': Record<string, string>
  parameters?: { name: string; in: string; required?: boolean; schema: Record<string, unknown> }[]
  requestBody?: { content: Record<string, { schema: object }> }
  responses: Record<string, { description: string; content?: Record<string, unknown> }>
}
interface Document {
  openapi: string
  servers: { url: string }[]
  security: object[]
  paths: Record<string, Record<string, Operation>>
}

/** Asked as tools do: without a token. */
async function read(app = api.app, path = '/api/mcp/openapi.json') {
  const response = await app.request(path)
  expect(response.status).toBe(200)
  return { document: await response.json<Document>(), headers: response.headers }
}

describe('GET /openapi.json', () => {
  it('is OpenAPI 3.1 of where it is mounted, for everybody to keep', async () => {
    const { document, headers } = await read()
    expect(document).toMatchObject({
      openapi: '3.1.1',
      servers: [{ url: '/api/mcp' }],
      security: [{ bearer: [] }],
    })
    expect(headers.get('cache-control')).toBe('public, max-age=300')
  })

  it('keeps strange pages out, as every route does', async () => {
    const response = await apiApp(api.sql).request('/api/mcp/openapi.json', {
      headers: { origin: 'https://evil.example' },
    })
    expect(response.status).toBe(403)
  })

  it('has every route of the table, and no other', async () => {
    const { paths } = (await read()).document
    const told = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    )
    const table = ROUTES.map(({ method, path }) => `${method} ${path.replace(/:(\w+)/, '{$1}')}`)
    expect(told.toSorted()).toEqual(table.toSorted())
  })

  it('says who may call what, and what they get', async () => {
    const { paths } = (await read()).document
    const change = paths['/users/{id}']?.['patch']
    expect(change?.['x-roles']).toEqual({ admin: 'all', service: 'all' })
    expect(change?.description).toContain('admin (everybody), service (everybody)')
    expect(change?.parameters).toEqual([
      { name: 'id', in: 'path', required: true, schema: { type: 'string', format: 'uuid' } },
    ])
    expect(Object.keys(change?.responses ?? {})).toEqual([
      '200',
      '400',
      '401',
      '403',
      '404',
      '413',
      '415',
      '500',
      '503',
    ])
    expect(change?.responses['404']?.content).toHaveProperty(['application/problem+json'])
    const costs = paths['/costs']?.['get']
    expect(costs?.['x-roles']).toMatchObject({ member: 'own', manager: 'department', finance: 'all' })
    expect(costs?.responses['200']?.content).toHaveProperty(['text/csv'])
    expect(costs?.parameters?.find(({ name }) => name === 'group_by')).toMatchObject({ required: true })
    const list = paths['/clients']?.['get']?.parameters?.find(({ name }) => name === 'limit')
    expect(list?.schema).toEqual({ type: 'integer', minimum: 1, maximum: 200, default: 100 })
  })

  it('shows what a body is read by in the end, and no schema that takes anything', async () => {
    const { paths } = (await read()).document
    const bodyOf = (path: string, method: string) =>
      paths[path]?.[method]?.requestBody?.content['application/json']?.schema
    expect(bodyOf('/pricing', 'put')).toMatchObject({
      anyOf: [{ required: expect.arrayContaining(['model_name']) }, { required: ['tool_name', 'price'] }],
    })
    expect(bodyOf('/quotas/preview', 'post')).toMatchObject({
      anyOf: [{ properties: { days: { maximum: 366 }, metric: {} } }, { properties: { window_seconds: {} } }],
    })
    for (const { method, path, body } of ROUTES) {
      if (body === undefined) continue
      const shown = bodyOf(path.replace(/:(\w+)/, '{$1}'), method.toLowerCase())
      expect(JSON.stringify(shown), path).toMatch(/"properties":\{"/)
    }
  })
})
