import * as z from 'zod'
import { actorOf, asCaller, callerOf } from '../as-caller.ts'
import { recordAudit } from '../audit.ts'
import { resolveSql } from '../db/client.ts'
import { problem } from '../errors.ts'
import { eraseUser } from '../personal-data/erase.ts'
import { retentionState, setRetention } from '../personal-data/retention.ts'
import { exportOfUser } from '../reports/export.ts'
import { findUser } from '../reports/users.ts'
import { fileResponse } from './csv.ts'
import { ADMINS, OWNERS } from './roles.ts'
import { route } from './route.ts'

const EraseQuery = z.object({
  dry_run: z
    .enum(['true', 'false', '1', '0', ''])
    .default('false')
    .transform((text) => text !== 'false' && text !== '0'),
})

const days = (least: number) => z.int().min(least).max(36_500).nullable()

const RetentionBody = z
  .strictObject({
    calls_days: days(62),
    sessions_days: days(1),
    errors_days: days(1),
    audit_days: days(30),
    stores_names: z.boolean(),
  })
  .partial()
  .refine((change) => Object.keys(change).length > 0, 'changes nothing')

const RetentionAnswer = z.object({
  calls_days: z.int().nullable(),
  sessions_days: z.int().nullable(),
  errors_days: z.int().nullable(),
  audit_days: z.int().nullable(),
  stores_names: z.boolean(),
  updated_at: z.string().nullable(),
  calls_complete_from: z.string().nullable(),
  calls_held_by_quotas: z.boolean(),
})

const Receipt = z.object({
  dry_run: z.boolean(),
  tables: z.record(z.string(), z.int()),
  erased_at: z.string().optional(),
})

export const personalData = [
  route({
    method: 'GET',
    path: '/users/:id/export',
    roles: OWNERS,
    summary: 'Everything that is kept about a user, as one JSON document',
    answers: { 200: z.looseObject({ user_id: z.string() }) },
    async handle(c, { id }, { sql }) {
      // A manager sees the department's users, and hands over nobody but themselves.
      const { role, userId } = callerOf(c)
      if (role !== 'admin' && role !== 'service' && userId !== id) return problem({ code: 'not_found' })
      const found = await asCaller(c, sql, (db, caller) => findUser(db, caller, id))
      if (found === null) return problem({ code: 'not_found' })
      const client = resolveSql(sql, c)
      await recordAudit(client, actorOf(c), { action: 'user.exported', target: { kind: 'user', id } })
      return fileResponse({ fileName: `user-${id}.json`, type: 'application/json' }, exportOfUser(client, id))
    },
  }),
  route({
    method: 'DELETE',
    path: '/users/:id',
    roles: ADMINS,
    summary: 'Forgets a person while the sums stay; with dry_run tells what would go',
    notes: 'Calls of everybody wait meanwhile.',
    query: EraseQuery,
    answers: { 200: Receipt },
    async handle(c, { id, query }, { sql }) {
      const receipt = await eraseUser(resolveSql(sql, c), id, query.dry_run, actorOf(c))
      return receipt === null ? problem({ code: 'not_found' }) : c.json(receipt)
    },
  }),
  route({
    method: 'GET',
    path: '/retention',
    roles: ADMINS,
    summary: 'For how many days each kind of data is kept',
    answers: { 200: RetentionAnswer },
    handle: (c, _asked, { sql }) => asCaller(c, sql, async (db) => c.json(await retentionState(db))),
  }),
  route({
    method: 'PUT',
    path: '/retention',
    roles: ADMINS,
    summary: 'Sets for how many days data is kept, null for ever, and whether names are stored',
    notes: 'What is left out stays. Names that are there go when they are turned off.',
    body: RetentionBody,
    answers: { 200: RetentionAnswer },
    handle: async (c, { body }, { sql }) => c.json(await setRetention(resolveSql(sql, c), body, actorOf(c))),
  }),
]
