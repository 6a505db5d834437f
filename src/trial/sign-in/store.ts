import { join } from 'node:path'
import type { AdapterFactory, AdapterPayload } from 'oidc-provider'
import { readKept, writeKept } from '../kept.ts'

/** What the provider keeps: clients, grants, refresh tokens, and sign-ins that are under way. */
export interface SignInStore {
  adapter: AdapterFactory
  /** Writes what is not written yet. */
  flush(): void
}

interface Entry {
  payload: AdapterPayload
  /** Milliseconds since the epoch; null for never. */
  until: number | null
}

/** Anybody on this machine may register clients: past this the oldest entries go. */
const MOST_ENTRIES = 2000
const WRITE_AFTER_MS = 100

const live = ({ until }: Entry): boolean => until === null || until > Date.now()

const parse = (value: unknown): [string, Entry][] => {
  if (!Array.isArray(value)) throw new TypeError('not entries')
  return value
}

/**
 * The store in `sign-in.json` of this folder: a client that signed in stays so when the trial starts anew.
 * @throws Error when the file holds something else.
 */
export function openStore(folder: string): SignInStore {
  const file = join(folder, 'sign-in.json')
  const entries = new Map(readKept(file, "what the trial's sign-in keeps", parse))
  let pending: NodeJS.Timeout | undefined

  const flush = (): void => {
    if (pending === undefined) return
    clearTimeout(pending)
    pending = undefined
    writeKept(file, [...entries])
  }
  const changed = (): void => {
    pending ??= setTimeout(flush, WRITE_AFTER_MS).unref()
  }
  const makeRoom = (): void => {
    if (entries.size <= MOST_ENTRIES) return
    for (const [key, entry] of entries) if (!live(entry)) entries.delete(key)
    for (const key of entries.keys()) {
      if (entries.size <= MOST_ENTRIES) return
      entries.delete(key)
    }
  }
  const find = (key: string): AdapterPayload | undefined => {
    const entry = entries.get(key)
    return entry !== undefined && live(entry) ? entry.payload : undefined
  }
  const findBy = (model: string, field: 'uid' | 'userCode', value: string): AdapterPayload | undefined => {
    for (const [key, entry] of entries) {
      if (key.startsWith(`${model}:`) && entry.payload[field] === value && live(entry)) return entry.payload
    }
    return undefined
  }

  const adapter: AdapterFactory = (model) => ({
    upsert(id, payload, expiresIn) {
      entries.set(`${model}:${id}`, {
        payload,
        until: expiresIn === undefined ? null : Date.now() + expiresIn * 1000,
      })
      makeRoom()
      changed()
      return Promise.resolve()
    },
    find: (id) => Promise.resolve(find(`${model}:${id}`)),
    findByUid: (uid) => Promise.resolve(findBy(model, 'uid', uid)),
    findByUserCode: (code) => Promise.resolve(findBy(model, 'userCode', code)),
    consume(id) {
      const payload = find(`${model}:${id}`)
      if (payload !== undefined) payload.consumed = Math.floor(Date.now() / 1000)
      changed()
      return Promise.resolve()
    },
    destroy(id) {
      entries.delete(`${model}:${id}`)
      changed()
      return Promise.resolve()
    },
    revokeByGrantId(grantId) {
      for (const [key, { payload }] of entries) if (payload.grantId === grantId) entries.delete(key)
      changed()
      return Promise.resolve()
    },
  })
  return { adapter, flush }
}
