import type { UserVariables } from '../variables.ts'

/** What every route finds in `c.var`. */
export interface ApiEnv {
  Variables: UserVariables
}
