import { asCaller } from '../as-caller.ts'
import { listClients } from '../reports/clients.ts'
import { ClientList } from './answers/sessions.ts'
import { EVERYBODY } from './roles.ts'
import { route } from './route.ts'
import { SessionQuery } from './session-query.ts'
import { nextCursor } from './validate.ts'

export const clients = [
  route({
    method: 'GET',
    path: '/clients',
    roles: EVERYBODY,
    summary: 'Clients of users, latest activity first',
    query: SessionQuery,
    answers: { 200: ClientList },
    handle: (c, { query: { filter, page } }, { sql }) =>
      asCaller(c, sql, async (db, caller) => {
        const { clients, total, next } = await listClients(db, caller, filter, page)
        return c.json({ clients, total, ...nextCursor(next) })
      }),
  }),
]
