import { Hono, type MiddlewareHandler } from 'hono'
import { type JWTPayload, jwtVerify } from 'jose'
import type { Sql } from '../../src/db/client.ts'
import { ISSUER, RESOURCE, SECRET } from '../support/mcp.ts'
import { echoHandler } from './handler.ts'

/** Tables as such a chain has them. Every login of the bench may use them; the users are put in before. */
export async function makeChainTables(owner: Sql, subjects: readonly string[]): Promise<void> {
  await owner.unsafe(`
    create table chain_sessions (id uuid primary key default gen_random_uuid(), user_id text unique, live boolean);
    create table chain_quotas (user_id text primary key, used bigint not null, amount bigint not null);
    create table chain_calls (
      id uuid primary key, user_id text not null, session_id uuid not null, tool text not null, status text not null,
      started_at timestamptz not null default now(), duration_ms integer
    );
    create index on chain_calls (user_id, started_at desc);
    grant all on chain_sessions, chain_quotas, chain_calls to public`)
  for (const subject of subjects) {
    await owner`insert into chain_sessions (user_id, live) values (${subject}, true)`
    await owner`insert into chain_quotas values (${subject}, 0, 1000000000)`
  }
}

type Variables = { claims: JWTPayload; session: string }

/** What hono-rate-limiter does with its memory store, which is no dependency of ours: fixed windows in a map. */
function fixedWindow(limit: number, windowMs: number): MiddlewareHandler<{ Variables: Variables }> {
  const hits = new Map<string, { count: number; resetAt: number }>()
  return async function limiter(c, next) {
    const key = c.var.claims.sub ?? ''
    const now = Date.now()
    let hit = hits.get(key)
    if (hit === undefined || now >= hit.resetAt) hits.set(key, (hit = { count: 0, resetAt: now + windowMs }))
    hit.count += 1
    c.header('RateLimit-Policy', `${limit};w=${windowMs / 1000}`)
    c.header(
      'RateLimit',
      `limit=${limit}, remaining=${limit - hit.count}, reset=${Math.ceil((hit.resetAt - now) / 1000)}`,
    )
    if (hit.count > limit) return c.text('Too many requests', 429)
    await next()
  }
}

/** Middlewares one after the other, each with its own statement: how such servers are put together today. */
export function usualChain(sql: Sql) {
  const handler = echoHandler()
  const key = new TextEncoder().encode(SECRET)
  const app = new Hono<{ Variables: Variables }>()
  app.use('/mcp', async (c, next) => {
    const token = c.req.header('authorization')?.slice('Bearer '.length) ?? ''
    const { payload } = await jwtVerify(token, key, { issuer: ISSUER, audience: RESOURCE })
    c.set('claims', payload)
    await next()
  })
  app.use('/mcp', fixedWindow(1_000_000, 60_000))
  app.use('/mcp', async (c, next) => {
    const [session] = await sql<{ id: string }[]>`
      select id from chain_sessions where user_id = ${c.var.claims.sub!} and live`
    if (session === undefined) return c.text('No session', 404)
    c.set('session', session.id)
    await next()
  })
  app.use('/mcp', async (c, next) => {
    const { count } = await sql`
      update chain_quotas set used = used + 1 where user_id = ${c.var.claims.sub!} and used + 1 <= amount`
    if (count === 0) return c.text('Quota used up', 429)
    await next()
  })
  return app.post('/mcp', async (c) => {
    const body: { params?: { name?: string } } = await c.req.json()
    const id = crypto.randomUUID()
    const startedAt = performance.now()
    await sql`
      insert into chain_calls (id, user_id, session_id, tool, status)
      values (${id}, ${c.var.claims.sub!}, ${c.var.session}, ${body.params?.name ?? ''}, 'open')`
    const response = await handler.fetch(c.req.raw, { parsedBody: body })
    const durationMs = Math.round(performance.now() - startedAt)
    await sql`update chain_calls set status = 'success', duration_ms = ${durationMs} where id = ${id}`
    return response
  })
}
