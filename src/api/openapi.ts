import { refusalStatus, type RefusalCode } from '../errors.ts'
import type { Role } from '../variables.ts'
import { VERSION } from '../version.ts'
import { Problem } from './answers/parts.ts'
import { type Components, type Json, jsonSchema } from './json-schema.ts'
import type { Reach } from './roles.ts'
import { idIn, refusalsOf, type Route } from './route.ts'

const REACH: Record<Reach, string> = { own: 'own', department: 'their department', all: 'everybody' }

/** Who may call a route, for people. */
export const rolesInWords = ({ roles }: Route): string =>
  (Object.entries(roles) as [Role, Reach][]).map(([role, reach]) => `${role} (${REACH[reach]})`).join(', ')

const PROBLEM = { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } }

/** Why each status may come, and what stands in its headers. */
const RETRY = { 'Retry-After': { description: 'Seconds', schema: { type: 'integer' } } }
const HEADERS: Record<number, Json> = {
  401: { 'WWW-Authenticate': { description: 'Where to sign in', schema: { type: 'string' } } },
  429: RETRY,
  503: RETRY,
}

/** The refusals of a route by status. */
function problems(codes: readonly RefusalCode[]): Json {
  const statuses = [...new Set(codes.map(refusalStatus))]
  return Object.fromEntries(
    statuses.map((status) => {
      const those = codes.filter((code) => refusalStatus(code) === status)
      return [status, { description: those.join(', '), headers: HEADERS[status], content: PROBLEM }]
    }),
  )
}

/** What a route answers to those who may call it, by status. */
function successes({ answers, csv }: Route, components: Components): Json {
  return Object.fromEntries(
    Object.entries(answers).map(([status, schema]) => {
      if (schema === null) return [status, { description: 'Done' }]
      const content = {
        'application/json': { schema: jsonSchema(schema, 'output', components) },
        ...(csv === true ? { 'text/csv': { schema: { type: 'string' } } } : {}),
      }
      return [status, { description: status === '201' ? 'Created' : 'OK', content }]
    }),
  )
}

function parameters({ path, query }: Route, components: Components): Json[] {
  const id = idIn(path)
  const inPath =
    id === undefined
      ? []
      : [{ name: id, in: 'path', required: true, schema: { type: 'string', format: 'uuid' } }]
  if (query === undefined) return inPath
  const { properties = {}, required = [] } = jsonSchema(query, 'input', components)
  return [
    ...inPath,
    ...Object.entries(properties as Json).map(([name, schema]) => ({
      name,
      in: 'query',
      ...((required as string[]).includes(name) ? { required: true } : {}),
      schema,
    })),
  ]
}

/** A name for programs: `GET /users/:id/sessions` is `getUsersIdSessions`. */
const operationId = ({ method, path }: Route): string =>
  method.toLowerCase() + path.replaceAll(/[^a-z]+([a-z])/g, (_, letter: string) => letter.toUpperCase())

function operation(route: Route, components: Components): Json {
  const { path, roles, summary, notes, body } = route
  const asked = parameters(route, components)
  return {
    operationId: operationId(route),
    tags: [path.split('/')[1]],
    summary,
    description: [`For ${rolesInWords(route)}.`, ...(notes === undefined ? [] : [notes])].join(' '),
    'x-roles': roles,
    ...(asked.length === 0 ? {} : { parameters: asked }),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: { 'application/json': { schema: jsonSchema(body, 'input', components) } },
          },
        }),
    responses: { ...successes(route, components), ...problems(refusalsOf(route)) },
  }
}

/**
 * The OpenAPI 3.1 document of routes, made of the schemas that hold their requests.
 * @returns it without `servers`, which depend on where the routes are mounted.
 */
export function openApi(routes: readonly Route[]): Json {
  const components: Components = {}
  jsonSchema(Problem, 'output', components)
  const paths: Record<string, Json> = {}
  for (const route of routes) {
    const path = route.path.replaceAll(/:(\w+)/g, '{$1}')
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(route, components) }
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'mcp-user-context',
      version: VERSION,
      description:
        'Who called an MCP server, in which sessions, within which limits and at what cost. Each operation says in `x-roles` who may call it, and whose things they reach by it: `own`, those of their `department`, or `all`.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    security: [{ bearer: [] }],
    paths,
    components: {
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description: 'The token of a user or a service',
        },
      },
      schemas: components,
    },
  }
}
