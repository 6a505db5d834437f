/** Random bytes are drawn for many ids at once: the draw costs more than the bytes. */
const IDS_A_DRAW = 128
const BYTES = 16
let drawn = new Uint8Array(0)
let next = 0

function randomBytes(): Uint8Array {
  if (next === drawn.length) {
    drawn = crypto.getRandomValues(new Uint8Array(IDS_A_DRAW * BYTES))
    next = 0
  }
  next += BYTES
  return drawn.subarray(next - BYTES, next)
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/**
 * A UUIDv7 (RFC 9562 section 5.7): 48 bits of milliseconds, then random bits. Rows of one moment lie side by side
 * in the primary key's index, and an instance can name a call before the database has seen it.
 */
export function newCallId(now: number = Date.now()): string {
  const bytes = randomBytes()
  for (let place = 5, rest = now; place >= 0; place -= 1) {
    bytes[place] = rest % 256
    rest = Math.floor(rest / 256)
  }
  bytes[6] = 0x70 | (bytes[6]! & 0x0f)
  bytes[8] = 0x80 | (bytes[8]! & 0x3f)
  let id = ''
  for (const [place, byte] of bytes.entries()) {
    if (place === 4 || place === 6 || place === 8 || place === 10) id += '-'
    id += HEX[byte]!
  }
  return id
}
