import { asCaller } from '../as-caller.ts'
import { countLiveClients } from '../reports/clients.ts'
import { quotasOfUser } from '../reports/quotas.ts'
import { Me } from './answers/users.ts'
import { requireUser } from './env.ts'
import { USERS } from './roles.ts'
import { route } from './route.ts'

export const me = [
  route({
    method: 'GET',
    path: '/me',
    roles: USERS,
    summary:
      'The caller as the database knows them, how many of their clients are live, and what is left of their limits',
    answers: { 200: Me },
    handle: async (c, _asked, { sql }) => {
      const { id, email, name, department, role, scopes, issuer, subject } = requireUser(c)
      const [sessions, limits] = await asCaller(c, sql, (db, caller) =>
        Promise.all([countLiveClients(db, caller, id), quotasOfUser(db, id, department)]),
      )
      return c.json({
        user: { id, email, name, department, role, scopes, issuer, subject },
        sessions,
        limits,
      })
    },
  }),
]
