/** What is between two machines, or what fetch itself says. */
const NOT_TO_ADD =
  /^(connection|content-length|expect|host|keep-alive|te|trailer|transfer-encoding|upgrade)$/i

/** What is wrong with headers that are to be added; nothing of a value is told, for it may be a secret. */
export function headerFaults(headers: Record<string, string>): string[] {
  return Object.entries(headers).flatMap(([name, value]) => {
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name))
      return [`headers: ${JSON.stringify(name)} is no name of a header`]
    if (NOT_TO_ADD.test(name)) return [`headers.${name} cannot be set: leave it out`]
    if (typeof value === 'string' && /^[\t\x20-\x7e\x80-\xff]*$/.test(value)) return []
    return [`headers.${name} must be text in one line, without characters beyond Latin-1`]
  })
}

/** What is wrong with where requests go and how long they may take. */
export function targetFaults(upstream: string, timeoutSeconds = 1): string[] {
  const url = URL.canParse(upstream) ? new URL(upstream) : null
  return [
    ...(url === null || !/^https?:$/.test(url.protocol) ? ['upstream must be an http or https URL'] : []),
    ...(url?.username || url?.password ? ['upstream must not carry credentials: put them into headers'] : []),
    ...(Number.isSafeInteger(timeoutSeconds) && timeoutSeconds > 0 && timeoutSeconds < 2 ** 21
      ? []
      : ['timeoutSeconds must be a positive integer']),
  ]
}
