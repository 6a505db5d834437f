import type { Role } from '../variables.ts'

/** A page that stands in the navigation. */
export interface NavigationItem {
  /** Below the path of the dashboard. */
  path: string
  title: string
  /** Who finds it there; left out for everybody. The page itself asks again. */
  roles?: readonly Role[]
}

const ADMINS: readonly Role[] = ['admin', 'service']

/** The pages, in the order in which people look. */
export const NAVIGATION: readonly NavigationItem[] = [
  { path: '', title: 'Overview' },
  { path: '/clients', title: 'Clients' },
  { path: '/costs', title: 'Costs' },
  { path: '/users', title: 'Users' },
  { path: '/limits', title: 'Limits' },
  { path: '/prices', title: 'Prices' },
  { path: '/log', title: 'Errors and log' },
  { path: '/tokens', title: 'Access tokens' },
  { path: '/audit', title: 'Audit', roles: ADMINS },
  { path: '/data', title: 'Data', roles: ADMINS },
]

/** Where the first page lies: at the mount itself, whatever that is. */
export const homeOf = (base: string): string => (base === '' ? '/' : base)

/** The parts of an address that go on to the next page: whoever chose a month or a zone keeps it. */
const KEPT = ['period', 'first', 'last', 'timezone'] as const

/** The query with which to go on to another page. */
export function keptQuery(query: Readonly<Record<string, string>>): string {
  const kept = new URLSearchParams(
    KEPT.flatMap((name) => (query[name] === undefined || query[name] === '' ? [] : [[name, query[name]]])),
  ).toString()
  return kept === '' ? '' : `?${kept}`
}

/** An address with another query: what is undefined leaves it. */
export function withQuery(
  path: string,
  query: Readonly<Record<string, string>>,
  changes: Readonly<Record<string, string | undefined>>,
): string {
  const all = { ...query, ...changes }
  const kept = Object.entries(all).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== '',
  )
  const text = new URLSearchParams(kept).toString()
  return text === '' ? path : `${path}?${text}`
}
