import type { Context } from 'hono'
import postgres from 'postgres'
import { type ConnectionProfile, PROFILE_SETTINGS, profileOf, withoutHints } from './profile.ts'

/** A postgres.js client: a pool on Node and Bun, the client of one request on Workers. */
export type Sql = postgres.Sql
/** The client inside `inTransaction()`. */
export type Transaction = postgres.TransactionSql
/** Whatever can run a query. */
export type Queryable = Sql | Transaction
/** One client for all requests, or a function that gives the client of a request. */
export type SqlSource = Sql | ((c: Context) => Sql)

// A client is itself a function; only a client carries its options.
const isClient = (source: SqlSource): source is Sql => 'options' in source

/** The client to use for this request. */
export const resolveSql = (source: SqlSource, c: Context): Sql => (isClient(source) ? source : source(c))

export interface ConnectOptions {
  /** What stands between: it decides the defaults of the others. Default: what the URL tells (`profileOf()`). */
  profile?: ConnectionProfile | undefined
  /** Connections at most. Default 10; behind Hyperdrive 5, where every request has a client of its own. */
  max?: number | undefined
  /** Seconds to wait for a connection. Default 10. */
  connectTimeout?: number | undefined
  /** Seconds after which an idle connection is closed. Default: never. */
  idleTimeout?: number | undefined
  /** Prepared statements. Default true; false behind a transaction pooler, which cannot keep them. */
  prepare?: boolean | undefined
  /**
   * Opens the connection in place of postgres.js; needed on Workers. It must return the socket at once, still
   * connecting: postgres.js never gives back the place in its pool of a socket that failed before it was returned.
   */
  socket?: ((target: { host: string[]; port: number[] }) => unknown) | undefined
  /** Told of warnings, and of what a statement says by itself, such as how many rows a migration set aside. */
  onNotice?: ((message: string) => void) | undefined
}

// `if not exists` and the like have codes of their own, and say what was asked for.
const isWorthTelling = ({ severity, code }: postgres.Notice): boolean =>
  severity === 'WARNING' || code === '00000'

/**
 * Opens a client with the settings of this kit. It connects at the first query.
 *
 * Types are not fetched, which saves each new connection a round trip. So bind arrays with `pgArray()`, and select
 * them with `to_json()`. bigint and numeric arrive as strings, timestamps as `Date`.
 * @param url `postgres://user:password@host:port/database`; `?profile=` names what stands between
 * @example const sql = connect(process.env.DATABASE_URL, { max: 20 })
 */
export function connect(url: string, options: ConnectOptions = {}): Sql {
  const { profile = profileOf(url), connectTimeout = 10, idleTimeout, socket, onNotice } = options
  const { max = PROFILE_SETTINGS[profile].max, prepare = PROFILE_SETTINGS[profile].prepare } = options
  return postgres(withoutHints(url), {
    max,
    connect_timeout: connectTimeout,
    // Its own goes up to 20 s: a request that waits 8 would not see the database come back.
    backoff: (retries: number) => Math.min(0.05 * 2 ** retries, 0.5),
    prepare,
    fetch_types: false,
    onnotice: (notice) => {
      if (isWorthTelling(notice)) onNotice?.(notice['message'] ?? '')
    },
    connection: { application_name: 'mcp-user-context' },
    ...(idleTimeout === undefined ? {} : { idle_timeout: idleTimeout }),
    ...(socket === undefined ? {} : { socket }),
  })
}

/** A text that an error carries, such as `hint`. By name, since the reader's client may be another copy of postgres.js. */
export function errorField(error: unknown, field: string): string | undefined {
  const value: unknown = error instanceof Error ? Reflect.get(error, field) : undefined
  return typeof value === 'string' ? value : undefined
}

/** The SQLSTATE of a Postgres error, or the code of a system's error such as `ECONNREFUSED`. */
export const errorCode = (error: unknown): string | undefined => errorField(error, 'code')

type ArrayElement = string | number | bigint | boolean | Date | null

// Quoted whatever they are, so that an element such as `null`, `a,b` or `{}` stays the text it is.
function element(value: ArrayElement): string {
  if (value === null) return 'null'
  if (typeof value !== 'string') return `"${value instanceof Date ? value.toISOString() : String(value)}"`
  const plain = !value.includes('"') && !value.includes('\\')
  return `"${plain ? value : value.replaceAll(/["\\]/g, (character) => `\\${character}`)}"`
}

/**
 * An array parameter, written as Postgres writes arrays; the cast in the query says of what.
 *
 * postgres.js declares an array parameter by its first element, so `${[true]}::boolean[]` and `${[date]}::timestamptz[]`
 * fail with any client and `sql.array()` fails without fetched types. A string works with every client and pooler.
 * @example await sql`select * from t where id = any(${pgArray(ids)}::uuid[])`
 */
export const pgArray = (values: readonly ArrayElement[]): string => `{${values.map(element).join(',')}}`
