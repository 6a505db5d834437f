// A process that serves the kit on the database it is given, until it is killed: ledger/crash.node.test.ts.
import { connect } from '../../src/db/client.ts'
import { appWith } from './mcp.ts'
import { serveHere } from './serve.ts'

const app = appWith(connect(process.argv[2] ?? '', { max: 4 }), (c) => {
  const { id } = c.var.parsedBody as { id: number }
  return c.json({ jsonrpc: '2.0', id, result: { content: [] } })
})
const { origin } = await serveHere(() => app.fetch)
console.log(origin)
