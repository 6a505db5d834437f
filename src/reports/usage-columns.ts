import type { Queryable } from '../db/client.ts'

/** Not the column: other writers may leave one of the two null, and their sum is null then. */
export const tokensOf = (sql: Queryable) =>
  sql`coalesce(call.prompt_tokens, 0) + coalesce(call.completion_tokens, 0)`

/** What a call was for: the tool, or the method of one without. */
export const toolOf = (sql: Queryable) => sql`coalesce(nullif(call.tool_name, ''), call.method)`

/** The condition that a call was for this. Not toolOf(), which no index knows. */
export const isForTool = (sql: Queryable, tool: string) => sql`
  (call.tool_name = ${tool} or (coalesce(call.tool_name, '') = '' and call.method = ${tool}))`
