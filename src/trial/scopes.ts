/** Plain access to the trial: what clients get that ask for no scope. */
export const BASIC_SCOPE = 'mcp'

/** What one of the sample tools wants beyond that. */
export const SECRETS_SCOPE = 'secrets:read'
