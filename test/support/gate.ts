import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** What stands before a database: it lets connections through, swallows what they say, or turns them away. */
export interface Gate extends AsyncDisposable {
  /** The database's address, through the gate. */
  url: string
  state: 'open' | 'silent' | 'closed'
  /** Ends every connection that is there. */
  cut(): void
}

/** Puts a gate before the database of an address. */
export async function gateBefore(url: string): Promise<Gate> {
  const target = new URL(url)
  const sockets = new Set<Socket>()
  const keep = (socket: Socket): void => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket)).on('error', () => socket.destroy())
  }
  const server = createServer((near) => {
    keep(near)
    if (gate.state === 'closed') {
      near.destroy()
      return
    }
    if (gate.state === 'silent') return
    const far = connect({ port: Number(target.port), host: target.hostname, noDelay: true })
    keep(far)
    near.pipe(far).pipe(near)
    near.once('close', () => far.destroy())
    far.once('close', () => near.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const through = new URL(url)
  through.port = String((server.address() as AddressInfo).port)
  const gate: Gate = {
    url: through.href,
    state: 'open',
    cut() {
      for (const socket of sockets) socket.destroy()
    },
    async [Symbol.asyncDispose]() {
      gate.cut()
      server.close()
      await once(server, 'close')
    },
  }
  return gate
}
