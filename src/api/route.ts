import type { Context } from 'hono'
import type * as z from 'zod'
import type { SqlSource } from '../db/client.ts'
import type { RefusalCode } from '../errors.ts'
import type { SessionRules } from '../sessions/life-cycle.ts'
import type { Role } from '../variables.ts'
import type { ApiEnv } from './env.ts'
import type { Roles } from './roles.ts'

/** What handlers need of the server that they run in. */
export interface ApiServer {
  sql: SqlSource
  session: SessionRules
  /** Null where no process lives between requests. */
  uptimeSeconds: () => number | null
}

/** What a request asks, once it is known to be right. */
export interface Asked<Query, Body> {
  query: Query
  body: Body
  /** The id in the path, a UUID; empty where the path has none. */
  id: string
}

/** One route of the REST API: what the code, the OpenAPI document and the tests know of it. */
export interface Route<Query extends z.ZodType = z.ZodType, Body extends z.ZodType = z.ZodType> {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Below the path where the API is mounted, with one id at most, such as `/users/:id/revoke`. */
  path: `/${string}`
  /** Who may call it, and whose things each of them reaches by it. */
  roles: Partial<Roles>
  /** One line, for people. */
  summary: string
  /** What the roles alone do not say. */
  notes?: string
  query?: Query
  /** Of a JSON body; without one a body is not read. */
  body?: Body
  /** What it answers by status, each as JSON of that schema; null for an answer without a body. */
  answers: { readonly [status in 200 | 201 | 204]?: z.ZodType | null }
  /** The JSON of 200 may be had as a file, with `format=csv`. */
  csv?: true
  /** What it answers to an id that is unknown, or that the caller may not know. @default 'not_found' */
  unknown?: RefusalCode
  /** What it refuses beside what every route does. */
  refusals?: readonly RefusalCode[]
  handle(
    c: Context<ApiEnv>,
    asked: Asked<z.output<Query>, z.output<Body>>,
    server: ApiServer,
  ): Response | Promise<Response>
}

/** A route whose handler knows what its schemas give. */
export const route = <Query extends z.ZodType, Body extends z.ZodType>(one: Route<Query, Body>): Route => one

/** The name of the id in a path. */
export const idIn = (path: string): string | undefined => /:(\w+)/.exec(path)?.[1]

/** Whose things a role reaches by a route; null for a role that it refuses. */
export const reachOf = ({ roles }: Route, role: Role) => roles[role] ?? null

const ALWAYS: readonly RefusalCode[] = [
  'unauthorized',
  'invalid_token',
  'insufficient_scope',
  'blocked',
  'forbidden',
  'origin_not_allowed',
  'host_not_allowed',
  'abuse_cap',
  'auth_unavailable',
  'database_unavailable',
  'took_too_long',
  'internal',
]
const OF_BODY: readonly RefusalCode[] = ['parse_error', 'body_too_large', 'unsupported_media_type']

/** Every refusal that a route may answer. */
export const refusalsOf = ({
  path,
  query,
  body,
  unknown = 'not_found',
  refusals = [],
}: Route): RefusalCode[] => [
  ...ALWAYS,
  ...(query === undefined && body === undefined ? [] : (['invalid_request'] as const)),
  ...(body === undefined ? [] : OF_BODY),
  ...(idIn(path) === undefined ? [] : [unknown]),
  ...refusals,
]
