import type { Sql } from '../../src/db/client.ts'
import type { QuotaRule } from '../../src/limits/quota-rule.ts'
import type { RateLimitRule } from '../../src/limits/rate-rule.ts'
import { putQuota } from '../support/quotas.ts'

/** So wide that nobody is refused: what is measured is to be held to them. */
export const RATE: RateLimitRule = { limit: 1_000_000, windowSeconds: 1 }
export const QUOTA: QuotaRule = { estimate: { tokens: 200, cost: '0.0001' } }
export const DEPARTMENT = 'Research'

export async function putBudgets(owner: Sql): Promise<void> {
  await putQuota(owner, { scope: 'each_user', metric: 'requests', limit: 100_000_000, window: 'day' })
  const subject = DEPARTMENT
  await putQuota(owner, {
    scope: 'department',
    subject,
    metric: 'cost',
    limit: '100000000',
    window: 'month',
    timezone: 'Europe/Berlin',
  })
}
