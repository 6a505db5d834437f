/**
 * The text of a personal access token: a prefix by which secret scanners know it, 32 random bytes, and a checksum, so
 * that a mistyped or cut one is known without a look into the database. As GitHub's tokens are made:
 * github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats.
 */
export const ACCESS_TOKEN_PREFIX = 'mcpuc_pat_'

/** What a secret scanner looks for. */
export const ACCESS_TOKEN_PATTERN = /^mcpuc_pat_[0-9A-Za-z]{49}$/

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
/** 62 to the 43rd is more than 2 to the 256th. */
const SECRET_DIGITS = 43
/** 62 to the 6th is more than 2 to the 32nd. */
const CHECKSUM_DIGITS = 6

function base62(value: bigint, digits: number): string {
  let text = ''
  for (let rest = value; text.length < digits; rest /= 62n) text = (DIGITS[Number(rest % 62n)] ?? '') + text
  return text
}

/** CRC-32 as zlib and GitHub have it (ISO 3309, reflected). */
function crc32(text: string): number {
  let crc = 0xffffffff
  for (const character of text) {
    crc ^= character.charCodeAt(0)
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  }
  return ~crc >>> 0
}

const checksumOf = (secret: string): string => base62(BigInt(crc32(secret)), CHECKSUM_DIGITS)

/** @param bytes 32 random ones. */
export function accessTokenText(bytes: Uint8Array): string {
  const secret = base62(
    bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n),
    SECRET_DIGITS,
  )
  return ACCESS_TOKEN_PREFIX + secret + checksumOf(secret)
}

/** Whether a text is meant to be an access token of ours, right or wrong: no verifier of JWTs is asked about it. */
export const claimsToBeAccessToken = (token: string): boolean => token.startsWith(ACCESS_TOKEN_PREFIX)

/** Whether it can be one: nobody else needs to be asked about a text that cannot. */
export const isAccessToken = (token: string): boolean => {
  if (!ACCESS_TOKEN_PATTERN.test(token)) return false
  const secret = token.slice(ACCESS_TOKEN_PREFIX.length, -CHECKSUM_DIGITS)
  return token.endsWith(checksumOf(secret))
}

/** What is kept of a token, in hexadecimal. Of 32 random bytes a plain SHA-256 gives nothing away. */
export async function accessTokenHash(token: string): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(token)))
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
