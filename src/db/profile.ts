/**
 * What stands between this process and Postgres: nothing that matters (`direct`, a pooler in session mode too),
 * Cloudflare's Hyperdrive, or a pooler that gives a connection for one transaction (PgBouncer, Supavisor).
 */
export const CONNECTION_PROFILES = ['direct', 'hyperdrive', 'transaction-pooler'] as const
export type ConnectionProfile = (typeof CONNECTION_PROFILES)[number]

/** How a client must be set up behind each of them. */
export interface ProfileSettings {
  /**
   * Prepared statements. A transaction pooler may hand the next statement to a server that never saw it prepared;
   * Hyperdrive keeps them, and hangs without (porsager/postgres#960, cloudflare/cloudflare-docs#33555).
   */
  prepare: boolean
  /** Connections at most. A Worker has six sockets for everything (cloudflare/workerd#3514). */
  max: number
}

export const PROFILE_SETTINGS: Readonly<Record<ConnectionProfile, ProfileSettings>> = {
  direct: { prepare: true, max: 10 },
  hyperdrive: { prepare: true, max: 5 },
  'transaction-pooler': { prepare: false, max: 10 },
}

/** Supabase gives transactions on this port of its pooler, and sessions on 5432; PgBouncer listens on the second. */
const POOLER_PORTS = new Set(['6543', '6432'])

/** Written by people into URLs for other clients; to Postgres they would be unknown settings. */
const HINTS = new Set(['profile', 'pgbouncer', 'connection_limit', 'pool_timeout'])

const isProfile = (text: string | null): text is ConnectionProfile =>
  CONNECTION_PROFILES.some((profile) => profile === text)

// Of several hosts the first stands for all: `URL` takes one.
const parse = (url: string): URL | null => {
  const first = url.replace(/,[^/?@]*(?=[/?]|$)/, '')
  return URL.canParse(first) ? new URL(first) : null
}

/**
 * The profile that a connection string asks for: by `?profile=` where it says so, by `?pgbouncer=true` (as Prisma
 * writes it), by the port of a pooler, or by the host of Hyperdrive.
 * @example profileOf('postgres://app@db.pooler.supabase.com:6543/postgres') // 'transaction-pooler'
 */
export function profileOf(url: string): ConnectionProfile {
  const parsed = parse(url)
  if (parsed === null) return 'direct'
  const said = parsed.searchParams.get('profile')
  if (isProfile(said)) return said
  if (parsed.searchParams.get('pgbouncer') === 'true' || POOLER_PORTS.has(parsed.port)) {
    return 'transaction-pooler'
  }
  return parsed.hostname.endsWith('.hyperdrive.local') ? 'hyperdrive' : 'direct'
}

/** The connection string without what only told the profile. */
export function withoutHints(url: string): string {
  const [address = '', query] = url.split('?', 2)
  if (query === undefined) return url
  const kept = query.split('&').filter((part) => !HINTS.has(part.split('=', 1)[0] ?? ''))
  return kept.length === 0 ? address : `${address}?${kept.join('&')}`
}

/** What is wrong with a profile that a connection string names; null where it names none or a known one. */
export function profileFault(url: string): string | null {
  const said = parse(url)?.searchParams.get('profile') ?? null
  return said === null || isProfile(said)
    ? null
    : `names a profile that is not one of ${CONNECTION_PROFILES.join(', ')}`
}
