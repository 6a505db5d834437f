/** The seed's union: every other client is `Unknown`, its own name stays in the session. */
export type ReportedClientType =
  | 'Claude'
  | 'Cursor'
  | 'Windsurf'
  | 'Cline'
  | 'KiRo'
  | 'Augment'
  | 'Gemini'
  | 'Unknown'

const PRODUCTS: readonly ReportedClientType[] = [
  'Claude',
  'Cursor',
  'Windsurf',
  'Cline',
  'KiRo',
  'Augment',
  'Gemini',
]

/** A client type as answers say it. Archon wrote `Claude Code`, and the raw name of a client it did not know. */
export const reportedClientType = (written: string): ReportedClientType =>
  written === 'Claude Code' ? 'Claude' : (PRODUCTS.find((product) => product === written) ?? 'Unknown')
