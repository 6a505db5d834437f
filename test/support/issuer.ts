/** Whose tokens the tests accept, and for what. */
export const RESOURCE = 'http://127.0.0.1:8787/mcp'
export const ISSUER = 'https://id.example.com'
export const SECRET = 'a secret of at least thirty-two bytes'
/** What the dashboard's cookies are encrypted with. */
export const COOKIE_KEY = 'a key for cookies of at least 32 bytes'
