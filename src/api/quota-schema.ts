import * as z from 'zod'
import { NO_BUDGET, type QuotaDefinition } from '../limits/quotas.ts'
import { isUuid } from '../uuid.ts'
import { timezoneQuery } from './period-query.ts'
import { label, readBy, uuid } from './validate.ts'

export const QUOTA_SCOPES = ['user', 'department', 'everyone', 'each_user', 'each_department'] as const

/** Names as calls are recorded with them. */
const names = z.array(label.max(100)).min(1).max(100)
const count = z.int().min(1).max(2_147_483_647)
const amount = z.union([z.number(), z.string()], 'must be a number, or a string of digits')

const COMMON = {
  quota_id: uuid.toLowerCase().optional(),
  scope: z.enum(QUOTA_SCOPES),
  subject: label.optional(),
  limit: amount,
  tools: names.optional(),
  mode: z.enum(['observe', 'warn', 'enforce']).default('enforce'),
  warn_at: z.array(z.number().gt(0).max(1)).max(10).default([0.8, 0.95]),
}

const Budget = z.strictObject({
  ...COMMON,
  kind: z.literal('budget').default('budget'),
  metric: z.enum(['requests', 'tokens', 'cost', 'unpriced']),
  window: z.enum(['minute', 'hour', 'day', 'week', 'month', 'total']),
  timezone: timezoneQuery,
  anchor: z
    .strictObject({
      day_of_week: z.int().min(1).max(7).optional(),
      day_of_month: z.int().min(1).max(31).optional(),
      hour: z.int().min(0).max(23).optional(),
    })
    .optional(),
  models: names.optional(),
})

const Rate = z.strictObject({
  ...COMMON,
  kind: z.literal('rate'),
  window_seconds: count,
  burst: count.optional(),
})

/** A fault of one field in the light of the others. Fields may be anything yet: their own faults are told besides. */
type Fault = [path: string[], message: string]
type Fields = Readonly<Record<string, unknown>>

function subjectFaults({ scope, subject }: Fields): Fault[] {
  if (scope === 'user' && !(typeof subject === 'string' && isUuid(subject)))
    return [[['subject'], 'must be the id of a user']]
  if (scope === 'department' && subject === undefined) return [[['subject'], 'must be a department']]
  const wanted = scope === 'user' || scope === 'department' || !QUOTA_SCOPES.some((known) => known === scope)
  return wanted || subject === undefined ? [] : [[['subject'], 'belongs to the scopes user and department']]
}

const isWhole = (text: string): boolean => /^\d{1,15}$/.test(text)

function limitFaults({ kind, metric, limit }: Fields): Fault[] {
  if (typeof limit !== 'number' && typeof limit !== 'string') return []
  const text = String(limit)
  if (kind === 'rate') {
    const fits = isWhole(text) && count.safeParse(Number(text)).success
    return fits ? [] : [[['limit'], 'must be a whole number, at least 1']]
  }
  if (metric === 'cost') {
    const fits = /^\d{1,15}(\.\d{1,10})?$/.test(text)
    return fits ? [] : [[['limit'], 'must be USD, not negative, with at most 10 decimals']]
  }
  if (metric === 'unpriced') {
    // The first one is known when it has ended: it stops the next call.
    return isWhole(text) && Number(text) >= 1
      ? []
      : [
          [
            ['limit'],
            'must be a whole number, at least 1: no call is known to be unpriced before it has ended',
          ],
        ]
  }
  const known = metric === 'requests' || metric === 'tokens'
  return !known || isWhole(text)
    ? []
    : [[['limit'], 'must be a whole number, not negative, of at most 15 digits']]
}

/** The windows that each part of an anchor moves. */
const ANCHORED = { day_of_week: ['week'], day_of_month: ['month'], hour: ['day', 'week', 'month'] }

const anchorFaults = ({ window, anchor }: Fields): Fault[] =>
  typeof window !== 'string' || typeof anchor !== 'object' || anchor === null
    ? []
    : Object.entries(ANCHORED)
        .filter(([part, windows]) => Object.hasOwn(anchor, part) && !windows.includes(window))
        .map(([part, windows]) => [['anchor', part], `belongs to windows of a ${windows.join(', ')}`])

const together =
  (...rules: ((fields: Fields) => Fault[])[]) =>
  (
    fields: Fields,
    { addIssue }: { addIssue: (issue: { code: 'custom'; path: string[]; message: string }) => void },
  ) => {
    for (const [path, message] of rules.flatMap((rule) => rule(fields)))
      addIssue({ code: 'custom', path, message })
  }

/** So that the faults of single fields hide none of several. */
const ALWAYS = { when: () => true }

/** A quota as it is put, by whatever way. */
export const QuotaBody = z
  .discriminatedUnion(
    'kind',
    [
      Budget.superRefine(together(subjectFaults, limitFaults, anchorFaults), ALWAYS),
      Rate.superRefine(together(subjectFaults, limitFaults), ALWAYS),
    ],
    { error: ({ code }) => (code === 'invalid_union' ? 'must be budget or rate' : undefined) },
  )
  .transform((body): QuotaDefinition => {
    const { quota_id = null, scope, subject = null, limit, tools = null, mode, warn_at } = body
    const common = {
      quotaId: quota_id,
      scope,
      subject: scope === 'user' ? (subject?.toLowerCase() ?? null) : subject,
      amount: String(limit),
      tools,
      mode,
      warnAt: warn_at,
    }
    if (body.kind === 'rate') {
      const { window_seconds, burst = Number(limit) } = body
      return { ...common, ...NO_BUDGET, kind: 'rate', windowSeconds: window_seconds, burst }
    }
    const { metric, window, timezone, anchor, models = null } = body
    return {
      ...common,
      kind: 'budget',
      metric,
      window,
      timezone,
      anchorDay: anchor?.day_of_week ?? anchor?.day_of_month ?? null,
      anchorHour: anchor?.hour ?? null,
      windowSeconds: null,
      burst: null,
      models,
    }
  })

const days = z.int().min(1).max(366).default(30)
const Preview = z.object({ days, quota: QuotaBody })

/** A quota that is proposed, and of how many days the calls are judged again. */
export const PreviewBody = readBy(
  z.record(z.string(), z.unknown()).transform(({ days, ...quota }, context) => {
    const read = Preview.safeParse({ days, quota })
    if (read.success) return read.data
    for (const { path, message } of read.error.issues) {
      context.addIssue({ code: 'custom', path: path[0] === 'quota' ? path.slice(1) : path, message })
    }
    return z.NEVER
  }),
  z.union([Budget.extend({ days }), Rate.extend({ days })]),
)
