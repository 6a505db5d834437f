/** The products that reports tell apart; every other client is `Unknown`, its own name stays in the session. */
export type ClientType =
  | 'Claude'
  | 'Cursor'
  | 'Windsurf'
  | 'Cline'
  | 'KiRo'
  | 'Augment'
  | 'Gemini'
  | 'Unknown'

// The order is Archon's, so that rows written by either of the two read alike.
const NEEDLES: readonly (readonly [needle: string, type: ClientType])[] = [
  ['claude', 'Claude'],
  ['cursor', 'Cursor'],
  ['windsurf', 'Windsurf'],
  ['cline', 'Cline'],
  ['kiro', 'KiRo'],
  ['augment', 'Augment'],
  ['gemini', 'Gemini'],
]

/** The type of a client by the name it gives itself; the first product whose name occurs in it wins. */
export function clientTypeOf(name: string | null | undefined): ClientType {
  const lower = name?.toLowerCase() ?? ''
  return NEEDLES.find(([needle]) => lower.includes(needle))?.[1] ?? 'Unknown'
}
