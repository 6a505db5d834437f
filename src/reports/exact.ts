/** As many decimals as a cost has. */
const PLACES = 10

const unitsOf = (text: string): bigint => {
  const [, sign, whole = '0', fraction = ''] = /^(-?)(\d+)(?:\.(\d{1,10}))?$/.exec(text) ?? []
  if (sign === undefined) throw new TypeError(`${text} is no amount with at most ${PLACES} decimals`)
  const units = BigInt(whole + fraction.padEnd(PLACES, '0'))
  return sign === '-' ? -units : units
}

const textOf = (units: bigint): string => {
  const digits = (units < 0n ? -units : units).toString().padStart(PLACES + 1, '0')
  const text = `${digits.slice(0, -PLACES)}.${digits.slice(-PLACES)}`.replace(/\.?0+$/, '')
  return units < 0n ? `-${text}` : text
}

/** The sum of exact decimal strings, exact. @example sumOf(['0.1', '0.2']) // '0.3' */
export const sumOf = (amounts: readonly string[]): string =>
  textOf(amounts.reduce((sum, amount) => sum + unitsOf(amount), 0n))

/** What is left of an exact decimal string without others, exact. */
export const without = (amount: string, others: readonly string[]): string =>
  textOf(unitsOf(amount) - others.reduce((sum, other) => sum + unitsOf(other), 0n))
