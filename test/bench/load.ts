import type { Client, Message } from './client.ts'
import { postgresCpuMicros } from './cpu.ts'
import { median } from './statistics.ts'

export interface Measured {
  callsPerSecond: number
  p50Ms: number
  nodeMicros: number
  statements: number
  postgresMicros: number
}

export interface Load {
  client: Client
  /** Taken in turn. */
  messages: Message[]
  connections: number
  seconds: number
  /** The postmaster. */
  postgres: number
}

interface Stats {
  cpuMicros: number
  statements: number
}

const statsOf = async (port: number): Promise<Stats> =>
  (await (await fetch(`http://127.0.0.1:${port}/stats`)).json()) as Stats

/**
 * Calls for some seconds, each connection one after the other.
 * @returns what a call took. @throws Error when one is answered anything but 200.
 */
export async function measure(port: number, load: Load): Promise<Measured> {
  const { client, messages, connections, seconds, postgres } = load
  const before = await statsOf(port)
  const postgresBefore = postgresCpuMicros(postgres)
  const latencies: number[] = []
  const start = performance.now()
  const end = start + seconds * 1000
  const work = async (place: number): Promise<void> => {
    for (let turn = place; performance.now() < end; turn += connections) {
      const sent = performance.now()
      const { status, text } = await client.post(port, messages[turn % messages.length]!)
      if (status !== 200) throw new Error(`answered ${status}: ${text}`)
      latencies.push(performance.now() - sent)
    }
  }
  await Promise.all(Array.from({ length: connections }, (_, place) => work(place)))
  const calls = latencies.length
  const callsPerSecond = calls / ((performance.now() - start) / 1000)
  const after = await statsOf(port)
  return {
    callsPerSecond,
    p50Ms: median(latencies),
    nodeMicros: (after.cpuMicros - before.cpuMicros) / calls,
    statements: (after.statements - before.statements) / calls,
    postgresMicros: (postgresCpuMicros(postgres) - postgresBefore) / calls,
  }
}
