import { describe, expect, it } from 'vitest'
import type { Vouch } from '../../src/dashboard/guard.ts'
import type { Provider, ProviderTokens } from '../../src/dashboard/sign-in/provider.ts'
import { credentialOf, isDue, kept, renewed } from '../../src/dashboard/sign-in/renewal.ts'
import type { Visit } from '../../src/dashboard/sign-in/visit.ts'

const NOW = new Date('2026-10-01T12:00:00Z')
const SECONDS = NOW.getTime() / 1000
const CLAIMS = { iss: 'https://id.example.com', sub: 'alice' }
const VISIT: Visit = {
  id: 'visit',
  credential: { kind: 'token', token: 'old' },
  fromProvider: { idToken: 'id' },
  refreshToken: 'refresh',
  renewAt: SECONDS,
  expiresAt: SECONDS + 3600,
}

/** Vouches for tokens that begin with `good`. */
const vouch = (async (credential) => ({
  ok: credential.kind === 'claims' || credential.token.startsWith('good'),
})) as Vouch

const giving = (refresh: Provider['refresh']): Provider => ({
  authorizationUrl: () => Promise.reject(new Error('nobody asks')),
  exchange: () => Promise.reject(new Error('nobody asks')),
  refresh,
  signOutUrl: () => Promise.resolve(null),
})
const tokens = (more: Partial<ProviderTokens> = {}): ProviderTokens => ({
  accessToken: 'good',
  claims: undefined,
  idToken: undefined,
  refreshToken: undefined,
  expiresIn: 300,
  ...more,
})

describe('a sign-in with a provider', () => {
  it('stands on the access token where the kit takes it, else on the ID token', async () => {
    expect(await credentialOf({ accessToken: 'good', claims: CLAIMS }, vouch)).toEqual({
      kind: 'token',
      token: 'good',
    })
    expect(await credentialOf({ accessToken: 'opaque', claims: CLAIMS }, vouch)).toEqual({
      kind: 'claims',
      claims: CLAIMS,
    })
    expect(await credentialOf({ accessToken: 'opaque', claims: undefined }, vouch)).toBeNull()
  })

  it('is renewed a minute before its token ends, where there is something to renew it with', () => {
    expect(kept(tokens({ refreshToken: 'r' }), NOW)).toEqual({
      fromProvider: {},
      refreshToken: 'r',
      renewAt: SECONDS + 240,
    })
    expect(kept(tokens({ idToken: 'i' }), NOW)).toEqual({ fromProvider: { idToken: 'i' } })
    expect([0, 1].map((late) => isDue({ ...VISIT, renewAt: SECONDS + late }, NOW))).toEqual([true, false])
    expect(isDue({ ...VISIT, refreshToken: undefined }, NOW)).toBe(false)
  })

  it('keeps the refresh and ID tokens of a provider that gives no others', async () => {
    const next = await renewed(
      VISIT,
      giving(async () => tokens()),
      vouch,
      NOW,
    )
    expect(next).toEqual({ ...VISIT, credential: { kind: 'token', token: 'good' }, renewAt: SECONDS + 240 })
    const rotated = await renewed(
      VISIT,
      giving(async () => tokens({ refreshToken: 'new' })),
      vouch,
      NOW,
    )
    expect(rotated?.refreshToken).toBe('new')
  })

  it('is over when the provider says no, and goes on while it says nothing', async () => {
    expect(
      await renewed(
        VISIT,
        giving(async () => null),
        vouch,
        NOW,
      ),
    ).toBeNull()
    expect(
      await renewed(
        VISIT,
        giving(() => Promise.reject(new Error('down'))),
        vouch,
        NOW,
      ),
    ).toBe(VISIT)
  })

  it('is over when what the provider gives names nobody any more', async () => {
    expect(
      await renewed(
        VISIT,
        giving(async () => tokens({ accessToken: 'bad' })),
        vouch,
        NOW,
      ),
    ).toBeNull()
  })
})
