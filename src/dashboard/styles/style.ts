import { FRAME } from './frame.ts'
import { PARTS } from './parts.ts'
import { THEME } from './theme.ts'

/** The one style sheet. */
export const STYLE = `${THEME}${FRAME}${PARTS}`
