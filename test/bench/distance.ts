// A distance between servers and Postgres, in a process of its own: `distance.ts PORT MILLISECONDS` passes on what
// comes, half a round trip later each way. It prints its port when it is ready.
import { createServer, connect, type Socket } from 'node:net'

const [port = 0, roundTripMs = 0] = process.argv.slice(2).map(Number)

/** Timers of one length fire in the order in which they were set, so the bytes keep theirs. */
function later(work: () => void): void {
  setTimeout(work, roundTripMs / 2)
}

function passOn(from: Socket, to: Socket): void {
  from.on('data', (chunk) => later(() => void to.write(chunk)))
  from.on('end', () => later(() => to.end()))
  from.on('error', () => to.destroy())
  from.on('close', () => later(() => to.destroy()))
}

const server = createServer((near) => {
  const far = connect({ port, host: '127.0.0.1', noDelay: true })
  near.setNoDelay(true)
  passOn(near, far)
  passOn(far, near)
}).listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address !== null && typeof address === 'object') console.log(address.port)
})
