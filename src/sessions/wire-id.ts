import { isUuid, uuidV5 } from '../uuid.ts'
import type { Caller } from '../variables.ts'

/** Our own namespace for RFC 9562 section 5.5: the row of a session whose id on the wire is no UUID. */
const WIRE_IDS = '0b6f7e0c-52f1-4b53-8a34-7d2c9be1a6f4'

/** Likewise for programs. Like anonymous callers they are no users: their sessions are told apart by the row's id. */
const WIRE_IDS_OF_PROGRAMS = '5d0c9a52-9d0a-4a0e-9a55-3c1f0f7e2b84'

/**
 * The row that an `Mcp-Session-Id` means: the id itself where it is a UUID as Postgres writes it, else UUIDv5 of it.
 * @param kind who sends it: the same id means another row when a program does.
 * @param server whose id it is, where several stand behind one kit: two of them may count from 1.
 * @returns null for what can be no session id (visible ASCII, spec 2025-11-25 basic/transports).
 */
export async function sessionIdOfWire(
  wireId: string,
  kind: Caller['kind'] = 'user',
  server?: string,
): Promise<string | null> {
  if (!/^[\x21-\x7e]{1,1024}$/.test(wireId)) return null
  // No id has a space in it.
  const name = server === undefined ? wireId : `${server} ${wireId}`
  if (kind === 'service') return await uuidV5(WIRE_IDS_OF_PROGRAMS, name)
  return isUuid(wireId) && wireId === wireId.toLowerCase() ? wireId : await uuidV5(WIRE_IDS, name)
}
