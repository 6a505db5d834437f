/**
 * A UUIDv7 (RFC 9562 section 5.7): 48 bits of milliseconds, then random bits. Rows of one moment lie side by side
 * in the primary key's index, and an instance can name a call before the database has seen it.
 */
export function newCallId(now: number = Date.now()): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  new DataView(bytes.buffer).setBigUint64(
    0,
    (BigInt(now) << 16n) | (BigInt(bytes[6]! << 8) | BigInt(bytes[7]!)),
  )
  bytes[6] = 0x70 | (bytes[6]! & 0x0f)
  bytes[8] = 0x80 | (bytes[8]! & 0x3f)
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
