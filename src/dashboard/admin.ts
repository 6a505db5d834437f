import type { Context } from 'hono'
import { actorOf } from '../as-caller.ts'
import type { Actor } from '../audit.ts'
import type { DashboardEnv } from './env.ts'
import { notAllowed } from './pages/message.ts'

/** Whether whoever is signed in administers. */
export const isAdmin = ({ var: { user, caller } }: Context<DashboardEnv>): boolean =>
  caller.kind === 'service' || user?.role === 'admin'

/** Who changes something, as the audit keeps it. */
export function actor(c: Context<DashboardEnv>): Actor {
  const context: Context = c
  return actorOf(context)
}

/** Lets administrators do something, and tells everybody else that it is not theirs to do. */
export const adminsOnly =
  (answer: (c: Context<DashboardEnv>) => Promise<Response>) =>
  async (c: Context<DashboardEnv>): Promise<Response> =>
    isAdmin(c) ? await answer(c) : notAllowed(c, 'This is for administrators.')
