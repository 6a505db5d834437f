import type { ZodType } from 'zod'
import { PreviewBody, QuotaBody } from './api/quota-schema.ts'
import { CLI_ACTOR } from './audit.ts'
import { parse, refuseMore, say, table, UsageError, withDatabase } from './cli-run.ts'
import { putQuota, QuotaError, quotaErrorOf, removeQuota } from './limits/quotas.ts'
import { previewQuota } from './reports/quota-preview.ts'
import type { McpQuota } from './reports/quota-rows.ts'
import { listQuotas } from './reports/quotas.ts'
import type { ReportCaller } from './reports/visible-to.ts'
import { isUuid } from './uuid.ts'

const EVERYBODY: ReportCaller = { role: 'service', userId: null, department: null }

const text = { type: 'string' } as const
const texts = { type: 'string', multiple: true } as const

/** The fields of a quota, by the options that set them. */
const OPTIONS = {
  id: text,
  kind: text,
  scope: text,
  subject: text,
  metric: text,
  limit: text,
  window: text,
  timezone: text,
  hour: text,
  'day-of-month': text,
  'day-of-week': text,
  'window-seconds': text,
  burst: text,
  tool: texts,
  model: texts,
  mode: text,
  'warn-at': texts,
}

/** The option of a field that has another name. */
const NAMED: Record<string, string> = { quota_id: 'id', tools: 'tool', models: 'model' }

function optionOf(path: PropertyKey[]): string {
  const field = String((path[0] === 'anchor' ? path[1] : path[0]) ?? '')
  return `--${NAMED[field] ?? field.replaceAll('_', '-')}`
}

const number = (value: string | undefined): number | string | undefined =>
  value !== undefined && /^\d+(\.\d+)?$/.test(value) ? Number(value) : value

type Values = ReturnType<typeof parse<typeof OPTIONS>>['values']

/** What was given of it; undefined where that is nothing. */
function given(fields: Record<string, unknown>): Record<string, unknown> | undefined {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined)
  return entries.length === 0 ? undefined : Object.fromEntries(entries)
}

/** The body that the API would be sent. */
function bodyOf(values: Values): Record<string, unknown> | undefined {
  const { id, kind, scope, subject, metric, limit, window, timezone, tool, model, mode } = values
  const anchor = given({
    hour: number(values.hour),
    day_of_month: number(values['day-of-month']),
    day_of_week: number(values['day-of-week']),
  })
  const rate = { window_seconds: number(values['window-seconds']), burst: number(values.burst) }
  const calendar = { metric, window, timezone, anchor, models: model }
  const warn_at = values['warn-at']?.map(number)
  return given({
    quota_id: id,
    kind,
    scope,
    subject,
    limit,
    tools: tool,
    mode,
    warn_at,
    ...calendar,
    ...rate,
  })
}

function read<T>(schema: ZodType<T>, body: unknown): T {
  const { success, data, error } = schema.safeParse(body)
  if (success) return data
  throw new UsageError(
    error.issues
      .map(({ path, message }) => (path.length === 0 ? message : `${optionOf(path)}: ${message}`))
      .join('\n'),
  )
}

/** A fault that only the database knows is one of what was typed, too. */
async function orUsageError<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (thrown) {
    const error = quotaErrorOf(thrown)
    throw error instanceof QuotaError
      ? new UsageError(`${optionOf([error.field])}: ${error.message}`, { cause: thrown })
      : error
  }
}

const HEAD = ['quota', 'whose', 'what', 'limit', 'used', 'held', 'left', 'resets', 'mode']

function lineOf(quota: McpQuota): string[] {
  const whose = quota.subject === undefined ? quota.scope : `${quota.scope} ${quota.subject}`
  const narrowed = [...(quota.tools ?? []), ...(quota.kind === 'budget' ? (quota.models ?? []) : [])]
  const only = narrowed.length === 0 ? '' : ` of ${narrowed.join(', ')}`
  if (quota.kind === 'rate') {
    const what = `calls per ${quota.window_seconds}s${only}`
    return [quota.quota_id, whose, what, String(quota.limit), '', '', '', '', quota.mode]
  }
  const { used = '', held = '', left = '', resets_at } = quota
  const per = quota.window === 'total' ? 'in total' : `per ${quota.window}`
  const amounts = [quota.limit, used, held, left].map(String)
  return [quota.quota_id, whose, `${quota.metric} ${per}${only}`, ...amounts, resets_at ?? '', quota.mode]
}

async function list(args: string[]): Promise<void> {
  const { values, positionals } = parse(args, { json: { type: 'boolean' } })
  refuseMore(positionals)
  await withDatabase(async (sql) => {
    const { quotas } = await listQuotas(sql, EVERYBODY, {}, { limit: 10_000, after: null })
    if (values.json) return say(JSON.stringify(quotas, null, 2))
    say(quotas.length === 0 ? 'There are no quotas' : table(HEAD, quotas.map(lineOf), [3, 4, 5, 6]))
  })
}

async function set(args: string[]): Promise<void> {
  const { values, positionals } = parse(args, OPTIONS)
  refuseMore(positionals)
  const quota = read(QuotaBody, bodyOf(values) ?? {})
  await withDatabase(async (sql) => {
    const { quotaId, created } = await orUsageError(() => putQuota(sql, quota, CLI_ACTOR))
    say(`${created ? 'created' : 'changed'} ${quotaId}`)
  })
}

async function remove(args: string[]): Promise<void> {
  const { positionals } = parse(args, {})
  const [id = '', ...rest] = positionals
  if (!isUuid(id)) throw new UsageError('Which quota? Give its id, as "quota list" shows it')
  refuseMore(rest)
  await withDatabase(async (sql) => {
    if (!(await removeQuota(sql, id, CLI_ACTOR))) throw new Error(`There is no quota ${id}`)
    say(`removed ${id}`)
  })
}

async function preview(args: string[]): Promise<void> {
  const { values, positionals } = parse(args, { ...OPTIONS, days: text })
  refuseMore(positionals)
  const { days: typed, ...fields } = values
  const { quota, days } = read(PreviewBody, { ...bodyOf(fields), days: number(typed) })
  await withDatabase(async (sql) => {
    const { calls, refused, holders, total } = await orUsageError(() => previewQuota(sql, quota, days))
    say(`In the last ${days} days it would have refused ${refused} of ${calls} calls`)
    if (total === 0) return
    const lines = holders.map((holder) => [
      String(holder.calls_refused),
      holder.email ?? holder.user_id ?? 'nobody',
      holder.department ?? '',
      holder.first_refused_at,
      holder.last_refused_at,
    ])
    say(table(['refused', 'whom', 'department', 'first', 'last'], lines, [0]))
    if (total > holders.length) say(`and ${total - holders.length} more`)
  })
}

const ACTIONS: Record<string, (args: string[]) => Promise<void>> = { list, set, remove, preview }

export async function quotaCommand([action = '', ...args]: string[]): Promise<void> {
  const run = Object.hasOwn(ACTIONS, action) ? ACTIONS[action] : undefined
  if (!run) throw new UsageError(`quota what? "${action}" is not one of ${Object.keys(ACTIONS).join(', ')}`)
  await run(args)
}
