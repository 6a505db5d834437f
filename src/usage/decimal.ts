const NUMBER = /^(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/

/**
 * A number that is not negative, as the digits that it is written with: exact where a calculation with floats is
 * not, and never `1e-7`, which is no amount of money to a reader.
 * @param places how far to move the decimal point to the right; to the left where it is negative.
 * @returns null for what is no such number.
 * @example decimal(0.15, -3) // '0.00015': the price of a thousand tokens, from that of a million
 */
export function decimal(value: number | string, places = 0): string | null {
  const [, whole, fraction = '', exponent = '0'] = NUMBER.exec(String(value)) ?? []
  if (whole === undefined) return null
  const point = whole.length + Number(exponent) + places
  const digits = '0'.repeat(Math.max(1 - point, 0)) + whole + fraction
  const at = Math.max(point, 1)
  const text = `${digits.slice(0, at).padEnd(at, '0')}.${digits.slice(at)}`
  return text.replace(/^0+(?=\d)/, '').replace(/\.?0*$/, '')
}
