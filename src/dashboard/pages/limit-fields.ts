import { NO_BUDGET, type QuotaDefinition } from '../../limits/quotas.ts'
import type { McpQuota } from '../../reports/quota-rows.ts'
import { namesIn } from '../components/form.ts'

/** What the form of a limit holds, field by field, as text. */
export type LimitFields = Readonly<Record<string, string>>

/** A new limit as people most often want one: so much money for each user in a month, watched at first. */
export const NEW_LIMIT: LimitFields = {
  kind: 'budget',
  scope: 'each_user',
  metric: 'cost',
  window: 'month',
  timezone: 'UTC',
  mode: 'observe',
  warn_at: '80, 95',
}

const text = (value: number | string | undefined | null): string => (value == null ? '' : String(value))

/** A limit as its form shows it. */
export function fieldsOf(quota: McpQuota): LimitFields {
  const common = {
    kind: quota.kind,
    scope: quota.scope,
    subject: text(quota.subject),
    limit: text(quota.limit),
    tools: (quota.tools ?? []).join(', '),
    mode: quota.mode,
    warn_at: quota.warn_at.map((share) => text(share * 100)).join(', '),
  }
  return quota.kind === 'rate'
    ? { ...common, window_seconds: text(quota.window_seconds), burst: text(quota.burst) }
    : {
        ...common,
        metric: quota.metric,
        window: quota.window,
        timezone: quota.timezone,
        models: (quota.models ?? []).join(', '),
        day: text(quota.anchor?.day_of_week ?? quota.anchor?.day_of_month),
        hour: text(quota.anchor?.hour),
      }
}

const numberIn = (value: string | undefined): number | string | undefined => {
  if (value === undefined || value === '') return undefined
  return /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value
}

/** Percent, as people write them, as shares; what is no number stays, to be refused. */
const sharesIn = (value: string | undefined): (number | string)[] =>
  (namesIn(value) ?? []).map((name) => {
    const percent = numberIn(name.replace(/\s*%$/, ''))
    return typeof percent === 'number' ? percent / 100 : name
  })

const omitEmpty = (body: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined && value !== ''))

/** What a form asks for, as the body of PUT /quotas. */
export function bodyOf(fields: LimitFields, quotaId: string | null): Record<string, unknown> {
  const { kind, scope = '', subject, limit, tools, mode, warn_at } = fields
  const common = {
    quota_id: quotaId ?? undefined,
    kind,
    scope,
    subject: scope === 'user' || scope === 'department' ? subject : undefined,
    limit: limit ?? '',
    tools: namesIn(tools),
    mode,
    warn_at: sharesIn(warn_at),
  }
  if (kind === 'rate') {
    const { window_seconds, burst } = fields
    return omitEmpty({ ...common, window_seconds: numberIn(window_seconds), burst: numberIn(burst) })
  }
  const { metric, window, timezone, models, day, hour } = fields
  const anchor = omitEmpty({
    [window === 'week' ? 'day_of_week' : 'day_of_month']: numberIn(day),
    hour: numberIn(hour),
  })
  return omitEmpty({
    ...common,
    metric,
    window,
    timezone,
    models: namesIn(models),
    anchor: Object.keys(anchor).length === 0 ? undefined : anchor,
  })
}

/** A limit that is there, as it was defined. */
export function definitionOf(quota: McpQuota): QuotaDefinition {
  const common = {
    quotaId: quota.quota_id,
    scope: quota.scope,
    subject: quota.subject ?? null,
    amount: String(quota.limit),
    tools: quota.tools ?? null,
    mode: quota.mode,
    warnAt: quota.warn_at,
  }
  if (quota.kind === 'rate') {
    return { ...common, ...NO_BUDGET, kind: 'rate', windowSeconds: quota.window_seconds, burst: quota.burst }
  }
  return {
    ...common,
    kind: 'budget',
    metric: quota.metric,
    window: quota.window,
    timezone: quota.timezone,
    anchorDay: quota.anchor?.day_of_week ?? quota.anchor?.day_of_month ?? null,
    anchorHour: quota.anchor?.hour ?? null,
    windowSeconds: null,
    burst: null,
    models: quota.models ?? null,
  }
}
