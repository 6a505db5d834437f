/** The id of a JSON-RPC request: MCP allows strings and integers, never null. */
export type RequestId = string | number

/** A JSON-RPC 2.0 error response. */
export interface JsonRpcError {
  jsonrpc: '2.0'
  id: RequestId | null
  error: { code: number; message: string; data?: unknown }
}

export const jsonRpcError = (
  id: RequestId | null,
  code: number,
  message: string,
  data?: unknown,
): JsonRpcError => ({
  jsonrpc: '2.0',
  id,
  error: { code, message, ...(data === undefined ? {} : { data }) },
})

/** The ids that a refusal echoes: that of the request, or those of every request of a batch; null where there is none. */
export function requestIds(
  message: { batch: boolean; requests: readonly { id: RequestId }[] } | null,
): RequestId | null | RequestId[] {
  if (message === null || message.requests.length === 0) return null
  return message.batch ? message.requests.map(({ id }) => id) : message.requests[0]!.id
}
