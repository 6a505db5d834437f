const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** Whether the text is a UUID in its usual form, in either case. */
export const isUuid = (text: string): boolean => UUID.test(text)

const bytesOf = (uuid: string): Uint8Array =>
  Uint8Array.from(uuid.replaceAll('-', '').match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))

/** UUIDv5 (RFC 9562 section 5.5). SHA-1 is what the format asks for; nothing here relies on its strength. */
export async function uuidV5(namespace: string, name: string): Promise<string> {
  const bytes = new TextEncoder().encode(name)
  const input = new Uint8Array(16 + bytes.length)
  input.set(bytesOf(namespace))
  input.set(bytes, 16)
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-1', input)).subarray(0, 16)
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x50
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80
  const hex = Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
