import { analytics } from './analytics.ts'
import { audit } from './audit.ts'
import { clients } from './clients.ts'
import { costs } from './costs.ts'
import { errors } from './errors.ts'
import { initialize } from './initialize.ts'
import { logs } from './logs.ts'
import { me } from './me.ts'
import { pricing } from './pricing.ts'
import { quotas } from './quotas.ts'
import { personalData } from './personal-data.ts'
import type { Route } from './route.ts'
import { sessions } from './sessions.ts'
import { tokens } from './tokens.ts'
import { usage } from './usage.ts'
import { users } from './users.ts'

/**
 * The table of all routes: the code, the OpenAPI document and the tests read it. A resource is a file that exports its
 * routes, and a line here.
 */
export const ROUTES: readonly Route[] = [
  ...initialize,
  ...me,
  ...clients,
  ...sessions,
  ...users,
  ...personalData,
  ...usage,
  ...analytics,
  ...errors,
  ...logs,
  ...costs,
  ...quotas,
  ...pricing,
  ...tokens,
  ...audit,
]
