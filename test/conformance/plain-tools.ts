import { fromJsonSchema, type McpServer } from '@modelcontextprotocol/server'
import { pause, PNG, text, WAV } from './content.ts'

const resource = (uri: string, mimeType: string, value: string) => ({
  type: 'resource' as const,
  resource: { uri, mimeType, text: value },
})

const ADDRESS = { street: { type: 'string' }, city: { type: 'string' } }

/** Whatever a dialect of 2020-12 may say (SEP-1613, SEP-2106), which must reach the client as it is. */
const SCHEMA_2020_12 = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  $defs: { address: { $anchor: 'addressDef', type: 'object', properties: ADDRESS } },
  properties: {
    name: { type: 'string' },
    address: { $ref: '#/$defs/address' },
    contactMethod: { type: 'string', enum: ['phone', 'email'] },
    phone: { type: 'string' },
    email: { type: 'string' },
  },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  // oxlint-disable-next-line unicorn/no-thenable -- the keyword of JSON Schema
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false,
}

/** SEP-2243: this argument comes as the header `Mcp-Param-Region` too. */
const SCHEMA_WITH_HEADER = {
  type: 'object',
  properties: { region: { type: 'string', 'x-mcp-header': 'Region' } },
}

/** The kinds of content that a tool may answer with, and how it fails. */
function registerContent(server: McpServer): void {
  server.registerTool('test_simple_text', { description: 'One text' }, () =>
    text('This is a simple text response for testing.'),
  )
  server.registerTool('test_image_content', { description: 'One image' }, () => ({
    content: [{ type: 'image', data: PNG, mimeType: 'image/png' }],
  }))
  server.registerTool('test_audio_content', { description: 'One sound' }, () => ({
    content: [{ type: 'audio', data: WAV, mimeType: 'audio/wav' }],
  }))
  server.registerTool('test_embedded_resource', { description: 'One resource' }, () => ({
    content: [resource('test://embedded-resource', 'text/plain', 'This is an embedded resource content.')],
  }))
  server.registerTool('test_multiple_content_types', { description: 'Text, image and resource' }, () => ({
    content: [
      { type: 'text', text: 'Multiple content types test:' },
      { type: 'image', data: PNG, mimeType: 'image/png' },
      resource('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}'),
    ],
  }))
  server.registerTool('test_error_handling', { description: 'Always fails' }, () => {
    throw new Error('This tool intentionally returns an error for testing')
  })
}

/** What a tool may send before its result. */
function registerMessages(server: McpServer): void {
  server.registerTool('test_tool_with_logging', { description: 'Logs three times' }, async (ctx) => {
    await ctx.mcpReq.log('info', 'Tool execution started')
    await pause(50)
    await ctx.mcpReq.log('info', 'Tool processing data')
    await pause(50)
    await ctx.mcpReq.log('info', 'Tool execution completed')
    return text('It has logged.')
  })
  server.registerTool('test_logging_tool', { description: 'Logs once' }, async (ctx) => {
    await ctx.mcpReq.log('info', 'Only for those who asked for it')
    return text('It has logged.')
  })
  server.registerTool('test_tool_with_progress', { description: 'Tells its progress' }, async (ctx) => {
    const progressToken = ctx.mcpReq._meta?.progressToken
    for (const progress of [0, 50, 100]) {
      if (progress > 0) await pause(50)
      if (progressToken === undefined) continue
      const params = { progressToken, progress, total: 100 }
      await ctx.mcpReq.notify({ method: 'notifications/progress', params })
    }
    return text('It has come to its end.')
  })
  server.registerTool('test_reconnection', { description: 'Hangs up on its client' }, async (ctx) => {
    ctx.http?.closeSSE?.()
    await pause(100)
    return text('The client has come back.')
  })
}

function registerSchemas(server: McpServer): void {
  server.registerTool(
    'json_schema_2020_12_tool',
    { description: 'Tool with JSON Schema 2020-12 features', inputSchema: fromJsonSchema(SCHEMA_2020_12) },
    (args) => text(JSON.stringify(args)),
  )
  server.registerTool(
    'test_x_mcp_header',
    { description: 'One argument that is a header too', inputSchema: fromJsonSchema(SCHEMA_WITH_HEADER) },
    (args) => text(JSON.stringify(args)),
  )
}

/** The tools that answer at once. */
export function registerPlainTools(server: McpServer): void {
  registerContent(server)
  registerMessages(server)
  registerSchemas(server)
}
