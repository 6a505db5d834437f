// The conformance server in a process of its own, as any server that is governed: it prints its port.
import { serveHere } from '../support/serve.ts'
import { sessionHandler } from './session-handler.ts'

const handler = sessionHandler()
const { origin } = await serveHere(() => (request) => handler.fetch(request))
console.log(origin)
