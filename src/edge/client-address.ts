/** Whom a request comes from, as far as it can be known. */
export interface AddressFacts {
  /** The other end of the connection; undefined where the runtime does not say. */
  peer: string | undefined
  forwardedFor: string | undefined
  /** How many proxies of ours stand in front: so many entries of X-Forwarded-For are believed, from its end. */
  trustedProxies: number
}

const groupsOf = (part: string): string[] => (part === '' ? [] : part.split(':'))

/** The first four groups of an IPv6 address in its one spelling: what one customer has (RFC 6177). */
function networkOf(address: string): string {
  const [head = '', tail = ''] = address.split('::')
  const known = groupsOf(head)
  const zeros = Array<string>(Math.max(8 - known.length - groupsOf(tail).length, 0)).fill('0')
  return [...known, ...zeros, ...groupsOf(tail)].slice(0, 4).join(':')
}

/**
 * One spelling for an address: an IPv4 address, or the /64 of an IPv6 one, in which anybody has addresses without end.
 * @returns null for what is no address.
 */
export function normalAddress(text: string): string | null {
  const bare = text
    .trim()
    .toLowerCase()
    // Some proxies add the port, and links their zone.
    .replace(/^\[(.*)\](:\d+)?$/, '$1')
    .replace(/^([\d.]+):\d+$/, '$1')
    .replace(/%.*$/, '')
    .replace(/^::ffff:(?=\d+\.)/, '')
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(bare)) return URL.canParse(`http://${bare}`) ? bare : null
  if (!/^[\da-f:.]*:[\da-f:.]*$/.test(bare) || !URL.canParse(`http://[${bare}]`)) return null
  return `${networkOf(new URL(`http://[${bare}]`).hostname.slice(1, -1))}::/64`
}

/**
 * The address that a request comes from. X-Forwarded-For is written by everybody on the way, the client first: only
 * what our own proxies added is believed, each of which adds whom it was asked by.
 * @returns null where nobody knows; what says so is no address of one client.
 */
export function clientAddress({ peer, forwardedFor, trustedProxies }: AddressFacts): string | null {
  const hops = (forwardedFor ?? '').split(',').filter((hop) => hop.trim() !== '')
  // With fewer entries than proxies, the first is the furthest that is known.
  const told = trustedProxies === 0 ? undefined : (hops.at(-trustedProxies) ?? hops[0])
  return normalAddress(told ?? peer ?? '')
}
