import { type McpServer, ResourceTemplate } from '@modelcontextprotocol/server'
import { PNG } from './content.ts'

export function registerResources(server: McpServer): void {
  const plain = { mimeType: 'text/plain' }
  const texts = [
    ['static-text', 'This is the content of the static text resource.'],
    ['watched-resource', 'This resource may be watched.'],
  ] as const
  for (const [name, text] of texts) {
    server.registerResource(name, `test://${name}`, { ...plain, description: 'A text' }, ({ href }) => ({
      contents: [{ uri: href, ...plain, text }],
    }))
  }
  const image = { mimeType: 'image/png' }
  server.registerResource(
    'static-binary',
    'test://static-binary',
    { ...image, description: 'An image' },
    ({ href }) => ({ contents: [{ uri: href, ...image, blob: PNG }] }),
  )
  const json = { mimeType: 'application/json' }
  server.registerResource(
    'template',
    new ResourceTemplate('test://template/{id}/data', { list: undefined }),
    { ...json, description: 'Data by id' },
    ({ href }, { id }) => {
      const text = JSON.stringify({ id, templateTest: true, data: `Data for ID: ${String(id)}` })
      return { contents: [{ uri: href, ...json, text }] }
    },
  )
  // Nothing here ever changes; whoever watches is told nothing.
  server.server.setRequestHandler('resources/subscribe', () => ({}))
  server.server.setRequestHandler('resources/unsubscribe', () => ({}))
}
