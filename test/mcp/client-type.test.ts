import { describe, expect, it } from 'vitest'
import { clientTypeOf, type ClientType } from '../../src/mcp/client-type.ts'

const cases: [name: string | null | undefined, expected: ClientType][] = [
  ['Claude', 'Claude'],
  ['Claude Code', 'Claude'],
  ['claude-code', 'Claude'],
  ['claude-ai', 'Claude'],
  ['Cursor', 'Cursor'],
  ['cursor-vscode', 'Cursor'],
  ['WINDSURF', 'Windsurf'],
  ['windsurf-client', 'Windsurf'],
  ['Cline', 'Cline'],
  ['KiRo', 'KiRo'],
  ['kiro-cli', 'KiRo'],
  ['Augment Code', 'Augment'],
  ['gemini-cli-mcp-client', 'Gemini'],
  // Two names in one: the order of the list decides, not the place in the name.
  ['Gemini in Claude', 'Claude'],
  ['Cline for Cursor', 'Cursor'],
  ['augment (gemini)', 'Augment'],
  ['Visual Studio Code', 'Unknown'],
  ['clau de', 'Unknown'],
  ['Unknown', 'Unknown'],
  ['', 'Unknown'],
  [null, 'Unknown'],
  [undefined, 'Unknown'],
]

describe('clientTypeOf', () => {
  it.each(cases)('reads %j as %s', (name, expected) => {
    expect(clientTypeOf(name)).toBe(expected)
  })
})
