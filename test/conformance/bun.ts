// The conformance server on Bun, behind the kit, as src/bun.ts serves: `bun.ts DATABASE_URL`. It prints its origin.
import { connect } from '../../src/db/client.ts'
import { serveMcp } from '../../src/mcp/serve-mcp.ts'
import { appWith } from '../support/mcp.ts'
import { sessionHandler } from './session-handler.ts'

declare const Bun: {
  serve(options: { fetch: typeof app.fetch; hostname: string; port: number; idleTimeout: number }): {
    port: number
  }
}

const app = appWith(connect(process.argv[2] ?? ''), serveMcp(sessionHandler()))
const { port } = Bun.serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0, idleTimeout: 0 })
console.log(`http://127.0.0.1:${port}`)
