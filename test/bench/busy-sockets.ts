import { connect, type Socket } from 'node:net'

/** Sockets to Postgres, and how long at least one of them waited for an answer. */
export interface BusySockets {
  open: (target: { host: string[]; port: number[] }) => Socket
  /** Milliseconds since it was asked last. */
  take(): number
}

/** The types of the messages in what passes in one direction, in pieces of any size; a message may lie in several. */
function messageTypes(): (chunk: Buffer) => string {
  let rest = Buffer.alloc(0)
  return (chunk) => {
    rest = Buffer.concat([rest, chunk])
    let types = ''
    while (rest.length >= 5 && rest.length > rest.readUInt32BE(1)) {
      types += String.fromCharCode(rest[0])
      rest = rest.subarray(rest.readUInt32BE(1) + 1)
    }
    return types
  }
}

const count = (types: string, wanted: RegExp): number => types.match(wanted)?.length ?? 0

/** Measures what a client waits for Postgres, whatever it asks: from a question to "ready for query". */
export function busySockets(): BusySockets {
  let asked = 0
  let since = 0
  let total = 0
  return {
    open({ host, port }) {
      const socket = connect(port[0]!, host[0])
      const write = socket.write.bind(socket)
      const [sent, received] = [messageTypes(), messageTypes()]
      let started = false
      socket.write = (chunk: Buffer, ...more: []) => {
        // The first message of all has no type; it and what the password takes are no question of a page's.
        if (started) {
          const questions = count(sent(chunk), /[QS]/g)
          if (asked === 0 && questions > 0) since = performance.now()
          asked += questions
        }
        started = true
        return write(chunk, ...more)
      }
      let signedIn = false
      socket.on('data', (chunk: Buffer) => {
        let answers = count(received(chunk), /Z/g)
        if (answers > 0 && !signedIn) {
          signedIn = true
          answers -= 1
        }
        if (answers === 0) return
        asked -= answers
        if (asked === 0) total += performance.now() - since
      })
      return socket
    },
    take() {
      const ms = total
      total = 0
      return ms
    },
  }
}
