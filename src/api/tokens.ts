import type { Context } from 'hono'
import * as z from 'zod'
import { actorOf, asCaller, callerOf } from '../as-caller.ts'
import {
  type AccessTokenAsker,
  type AccessTokenRefusal,
  allowedAccessToken,
  endsAccessTokensOf,
} from '../auth/access-token-rules.ts'
import {
  createAccessToken,
  DEFAULT_LIFE_DAYS,
  MAX_LIFE_DAYS,
  MAX_LIVE_TOKENS,
  revokeAccessToken,
} from '../auth/access-tokens.ts'
import { resolveSql } from '../db/client.ts'
import { problem } from '../errors.ts'
import { accessTokenById, listAccessTokens } from '../reports/access-tokens.ts'
import { AccessTokenPage, NewAccessToken } from './answers/tokens.ts'
import type { ApiEnv } from './env.ts'
import { OWNERS } from './roles.ts'
import { route } from './route.ts'
import { label, nextCursor, pageQuery, uuid } from './validate.ts'

const TokensQuery = z.object({
  status: z.enum(['live', 'all']).default('live'),
  user_id: uuid.toLowerCase().optional(),
  service: label.optional(),
  ...pageQuery(200, 100),
})

const MAX_NAME = 100
// RFC 6749 section 3.3.
const scope = z
  .string()
  .max(100)
  .regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'must be a scope, without spaces, quotes or backslashes')
  .meta({ examples: ['mcp:tools'] })

const TokenBody = z.strictObject({
  name: label.max(MAX_NAME),
  // For a program; by those who administer alone.
  service: label.max(MAX_NAME).optional(),
  scopes: z
    .array(scope)
    .max(50)
    .transform((scopes) => [...new Set(scopes)])
    .optional(),
  expires_in_days: z.int().min(1).max(MAX_LIFE_DAYS).default(DEFAULT_LIFE_DAYS),
})

const fault = (path: string, message: string): Response =>
  problem({ code: 'invalid_request' }, { errors: [{ path, message }] })

const askerOf = (c: Context<ApiEnv>): AccessTokenAsker => ({
  ...callerOf(c),
  scopes: c.var.auth?.scopes ?? [],
  accessToken: c.var.caller.accessToken,
})

const REFUSALS: Record<AccessTokenRefusal, () => Response> = {
  by_access_token: () =>
    problem({ code: 'forbidden', detail: 'An access token makes no access tokens: sign in.' }),
  for_service: () => problem({ code: 'forbidden', detail: 'Those who administer make tokens for services.' }),
  for_nobody: () => fault('service', 'name the service whose token it is to be'),
  beyond_own_scopes: () => fault('scopes', 'has a scope that your own token does not have'),
}

const TOO_MANY = `There are ${MAX_LIVE_TOKENS} live tokens already: revoke one first.`

export const tokens = [
  route({
    method: 'GET',
    path: '/tokens',
    roles: OWNERS,
    summary: 'Personal access tokens, newest first, without their secrets',
    query: TokensQuery,
    answers: { 200: AccessTokenPage },
    handle: (c, { query: { limit, cursor, user_id: userId, ...filter } }, { sql }) =>
      asCaller(c, sql, async (db, caller) => {
        const page = { limit, after: cursor ?? null }
        const { next, ...report } = await listAccessTokens(db, caller, { ...filter, userId }, page)
        return c.json({ ...report, ...nextCursor(next) })
      }),
  }),
  route({
    method: 'POST',
    path: '/tokens',
    roles: OWNERS,
    summary: 'Makes a personal access token; the answer has its secret, which is told this once',
    notes:
      'For oneself, with the role of the moment of each call; those who administer may name a service. An access token makes no access tokens.',
    body: TokenBody,
    answers: { 201: NewAccessToken },
    refusals: ['conflict', 'invalid_token'],
    async handle(c, { body: { name, service, scopes, expires_in_days: lifeDays } }, { sql }) {
      const allowed = allowedAccessToken(askerOf(c), { service, scopes })
      if ('refused' in allowed) return REFUSALS[allowed.refused]()
      const { identity, invalidTokenChallenge } = c.var.caller
      const made = await createAccessToken(
        resolveSql(sql, c),
        { ...allowed, name, lifeDays },
        { by: actorOf(c), issuedAt: identity?.issuedAt ?? null },
      )
      if ('fault' in made) {
        if (made.fault === 'too_many') return problem({ code: 'conflict', detail: TOO_MANY })
        // Cut off, or erased, since the request began.
        return problem({
          code: 'invalid_token',
          headers: { 'www-authenticate': invalidTokenChallenge },
        })
      }
      const token = await asCaller(c, sql, (db, asking) => accessTokenById(db, asking, made.id))
      return c.json({ ...token, token: made.token }, 201)
    },
  }),
  route({
    method: 'DELETE',
    path: '/tokens/:id',
    roles: OWNERS,
    summary: 'Revokes a personal access token: the next call with it is refused everywhere',
    answers: { 204: null },
    async handle(c, { id }, { sql }) {
      const whose = endsAccessTokensOf(askerOf(c))
      const revoked = await revokeAccessToken(resolveSql(sql, c), id, whose, actorOf(c))
      return revoked ? c.body(null, 204) : problem({ code: 'not_found' })
    },
  }),
]
