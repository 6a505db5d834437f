// SQLSTATE classes and codes of PostgreSQL appendix A, and the codes that postgres.js and sockets use.
const OUTAGES =
  /^(08...|57P0[1-5]|53300|CONNECTION_(CLOSED|ENDED|DESTROYED)|CONNECT_TIMEOUT|ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN)$/
const CONFLICTS = /^(40001|40P01|55P03)$/

// The sockets of workerd give their errors no code.
const OUTAGES_OF_WORKERD = /^(proxy request failed, cannot connect|Network connection lost)/

const codeOf = (error: unknown): string => {
  const { code } = (error ?? {}) as { code?: unknown }
  return typeof code === 'string' ? code : ''
}

/** Whether the database was out of reach or shutting down: the same statement may work in a moment. */
export const isOutage = (error: unknown): boolean =>
  OUTAGES.test(codeOf(error)) || (error instanceof Error && OUTAGES_OF_WORKERD.test(error.message))

/** Whether sending the same statement again makes sense: an outage, a deadlock or a lock that was not had. */
export const isWorthRetrying = (error: unknown): boolean =>
  isOutage(error) || error instanceof DatabaseUnavailableError || CONFLICTS.test(codeOf(error))

/** Whether Postgres gave a statement up: it would take longer than the transaction allows. */
export const tookTooLong = (error: unknown): boolean => codeOf(error) === '57014'

/** The database stayed out of reach for as long as a request may wait. */
export class DatabaseUnavailableError extends Error {
  override name = 'DatabaseUnavailableError'
  /** For `Retry-After`. */
  readonly retryAfterSeconds = 2
  /** Settles when the statement that was given up has been answered after all: until then it may yet run. */
  unanswered: Promise<unknown> = Promise.resolve()
}

/** How long a request waits for a database that is out of reach. */
export const MAX_WAIT_MS = 8000

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

async function within<T>(ms: number, answer: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_resolve, reject) => {
    const giveUp = () => {
      const error = new DatabaseUnavailableError('The database did not answer in time')
      error.unanswered = answer.catch(() => {})
      reject(error)
    }
    timer = setTimeout(giveUp, Math.max(ms, 0))
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Runs a statement that may be sent twice, again and again while the database is out of reach.
 * @param statement told whether it was sent before; an answer that was lost may have been a commit.
 * @param deadline milliseconds since the epoch at which to give up; infinite for what must not be lost.
 * @param patienceMs milliseconds to wait for one answer.
 * @throws DatabaseUnavailableError at the deadline; any other error at once.
 */
export async function patiently<T>(
  statement: (again: boolean) => Promise<T>,
  deadline: number = Date.now() + MAX_WAIT_MS,
  patienceMs: number = MAX_WAIT_MS,
): Promise<T> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await within(Math.min(deadline - Date.now(), patienceMs), statement(attempt > 0))
    } catch (error) {
      if (!isWorthRetrying(error)) throw error
      const pause = isOutage(error) ? Math.min(50 * 2 ** attempt, 500) : 0
      if (Date.now() + pause >= deadline) {
        if (error instanceof DatabaseUnavailableError) throw error
        throw new DatabaseUnavailableError('The database is out of reach', { cause: error })
      }
      await sleep(pause)
    }
  }
}
