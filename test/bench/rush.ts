import type { Client, Message } from './client.ts'
import type { BenchProcess } from './processes.ts'
import { pause } from './statistics.ts'

export interface Rush {
  client: Client
  message: Message
  /** Taken in turn; one that does not answer any more is left out from then on. */
  ports: number[]
  attempts: number
  /** Killed in the middle: when it has answered some calls, and many more are on their way. */
  victim?: BenchProcess
  /** Closes what a killed process held, so that others get it. */
  settle: () => Promise<void>
}

export interface Seen {
  sent: number
  admitted: number
  refused: number
  /** No answer: the process was gone. */
  lost: number
}

/** How many come back together when they were told to try again: enough for all that can have come free. */
const COME_BACK = 400
/** Calls that a victim answers before it is killed; where others were faster, all of them together. */
const LAST_CALLS = 20
const LAST_CALLS_OF_ALL = 150

type Answered = 'admitted' | 'for good' | 'for now' | 'lost'

/** Whether a refusal says when to come again, or that nothing comes back by itself. */
function refusalOf(text: string): Answered {
  const { error } = JSON.parse(text) as { error?: { data?: { retry_after_ms?: number | null } } }
  return error?.data?.retry_after_ms === null ? 'for good' : 'for now'
}

/**
 * All attempts at once; then again and again some of those that were refused for what others held, as their refusals
 * say, until everybody is refused for good.
 */
export async function rush(rush: Rush): Promise<Seen> {
  const { client, message, attempts, victim, settle } = rush
  const seen: Seen = { sent: 0, admitted: 0, refused: 0, lost: 0 }
  let { ports } = rush
  let killed: Promise<void> | undefined
  let answeredByVictim = 0

  async function attempt(place: number): Promise<Answered> {
    const port = ports[place % ports.length]!
    seen.sent += 1
    try {
      const { status, text } = await client.post(port, message)
      if (status !== 200 && status !== 429) throw new TypeError(`answered ${status}: ${text}`)
      if (status === 429) {
        seen.refused += 1
        return refusalOf(text)
      }
    } catch (error) {
      if (error instanceof TypeError || victim === undefined) throw error
      seen.lost += 1
      ports = ports.filter((each) => each !== port)
      return 'lost'
    }
    seen.admitted += 1
    if (port === victim?.port) answeredByVictim += 1
    if (answeredByVictim >= LAST_CALLS || seen.admitted >= LAST_CALLS_OF_ALL)
      killed ??= victim?.end('SIGKILL')
    return 'admitted'
  }
  const wave = (count: number): Promise<Answered[]> =>
    Promise.all(Array.from({ length: count }, (_, place) => attempt(place)))

  let answers = await wave(attempts)
  await killed
  let idle = 0
  while (!answers.every((answer) => answer === 'for good')) {
    // A refusal is remembered for a second.
    await pause(1050)
    answers = await wave(COME_BACK)
    idle = answers.includes('admitted') ? 0 : idle + 1
    // What is held now is held by nobody who lives.
    if (idle === 2) await settle()
    if (idle > 4) throw new Error('refused for the moment only, yet nothing comes back')
  }
  return seen
}
