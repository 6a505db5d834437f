import { countFaults } from '../errors.ts'
import type { RateDemand } from '../ledger/types.ts'

/** How fast calls may come. */
export interface RateLimitRule {
  /** Calls in the window. */
  limit: number
  /** Length of the window, in seconds. */
  windowSeconds: number
  /** Calls that may come at once; the window then fills up again evenly. @default limit */
  burst?: number
  /** Whom the limit holds. A user without a department is held alone. @default 'user' */
  per?: 'user' | 'user-and-tool' | 'department'
}

/** What is wrong with a rule. */
export function rateFaults({ limit, windowSeconds, burst, per = 'user' }: RateLimitRule): string[] {
  const known = ['user', 'user-and-tool', 'department'].includes(per)
  return [
    ...countFaults({ limit, windowSeconds, burst }),
    ...[{ limit }, { windowSeconds }].flatMap((needed) =>
      Object.entries(needed)
        .filter(([, value]) => value === undefined)
        .map(([name]) => `${name} is missing`),
    ),
    ...(known ? [] : [`per must be user, user-and-tool or department, got ${per}`]),
  ]
}

/** The rule as the ledger is asked. */
export const rateDemand = ({
  limit,
  windowSeconds,
  burst = limit,
  per = 'user',
}: RateLimitRule): RateDemand => ({
  limit,
  windowSeconds,
  burst,
  per,
})
