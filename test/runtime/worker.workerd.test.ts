import { exports } from 'cloudflare:workers'
import { describe } from 'vitest'
import { RESOURCE, tokenFor } from '../support/mcp.ts'
import { behavesAsEverywhere } from './suite.ts'

describe('the Worker entry', () => {
  const { default: worker } = exports as unknown as {
    default: { fetch(request: Request): Promise<Response> }
  }
  behavesAsEverywhere(() => ({
    fetch: (path, init) => worker.fetch(new Request(new URL(path, RESOURCE), init)),
    token: tokenFor,
  }))
})
