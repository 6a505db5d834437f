import { describe, expect, it } from 'vitest'
import { clientAddress, normalAddress } from '../../src/edge/client-address.ts'

describe('normalAddress', () => {
  const cases: [text: string, address: string | null][] = [
    ['203.0.113.7', '203.0.113.7'],
    [' 203.0.113.7:4711 ', '203.0.113.7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::9', '2001:db8:1:2::/64'],
    ['[2001:db8:1:2::9]:443', '2001:db8:1:2::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['1:2:3:4:5:6:7::', '1:2:3:4::/64'],
    ['256.1.1.1', null],
    ['1:2', null],
    ['unknown', null],
    ['_hidden', null],
    ['', null],
    ['a'.repeat(10_000), null],
    ['<script>', null],
  ]
  it.each(cases)('%s is %s', (text, address) => {
    expect(normalAddress(text)).toBe(address)
  })
})

describe('clientAddress', () => {
  const cases: { name: string; trustedProxies: number; forwardedFor?: string; address: string | null }[] = [
    { name: 'nobody in front', trustedProxies: 0, address: '192.0.2.1' },
    { name: 'what a stranger writes', trustedProxies: 0, forwardedFor: '203.0.113.7', address: '192.0.2.1' },
    { name: 'one proxy', trustedProxies: 1, forwardedFor: '203.0.113.7', address: '203.0.113.7' },
    {
      name: 'one proxy, and a lie',
      trustedProxies: 1,
      forwardedFor: '6.6.6.6, 203.0.113.7',
      address: '203.0.113.7',
    },
    {
      name: 'two proxies, and a lie',
      trustedProxies: 2,
      forwardedFor: '6.6.6.6,203.0.113.7,10.0.0.1',
      address: '203.0.113.7',
    },
    {
      name: 'two proxies, of which one was passed by',
      trustedProxies: 2,
      forwardedFor: '203.0.113.7',
      address: '203.0.113.7',
    },
    { name: 'a proxy that adds nothing', trustedProxies: 1, address: '192.0.2.1' },
    { name: 'a proxy that hides whom it serves', trustedProxies: 1, forwardedFor: 'unknown', address: null },
  ]
  it.each(cases)('behind $name is $address', ({ trustedProxies, forwardedFor, address }) => {
    expect(clientAddress({ peer: '192.0.2.1', forwardedFor, trustedProxies })).toBe(address)
  })

  it('is unknown where the runtime does not say', () => {
    expect(clientAddress({ peer: undefined, forwardedFor: '203.0.113.7', trustedProxies: 0 })).toBeNull()
  })
})
