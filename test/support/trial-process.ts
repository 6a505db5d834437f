// A process that runs the trial's server in the folder it is given, until SIGINT: the tests of trial/ start and kill it.
import { once } from 'node:events'
import { connect } from '../../src/db/client.ts'
import { startTrialServer } from '../../src/trial/database.ts'

const server = await startTrialServer(process.argv[2] ?? '')
const sql = connect(server.ownerUrl, { max: 1 })
const [row] = await sql<{ pid: string; folder: string }[]>`
  select split_part(pg_read_file('postmaster.pid'), e'\n', 1) as pid, current_setting('data_directory') as folder`
// Before anybody knows that it runs.
const interrupted = once(process, 'SIGINT')
console.log(JSON.stringify({ url: server.ownerUrl, server: Number(row?.pid), folder: row?.folder }))

const life = setInterval(() => {}, 60_000)
await interrupted
await sql`create table last_words as select 'still here' as words`
await sql.end()
await server.stop()
clearInterval(life)
