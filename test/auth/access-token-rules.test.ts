import { describe, expect, it } from 'vitest'
import {
  type AccessTokenAsker,
  allowedAccessToken,
  endsAccessTokensOf,
  type WantedAccessToken,
} from '../../src/auth/access-token-rules.ts'

const member: AccessTokenAsker = { role: 'member', userId: 'alice', scopes: ['tools'] }
const admin: AccessTokenAsker = { role: 'admin', userId: 'ada', scopes: [] }
const program: AccessTokenAsker = { role: 'service', userId: null, scopes: [] }

describe('an access token', () => {
  const cases: [name: string, asker: AccessTokenAsker, wanted: WantedAccessToken, allowed: object][] = [
    [
      'is for oneself, with all that one may do',
      member,
      {},
      { owner: { userId: 'alice' }, scopes: ['tools'] },
    ],
    ['has fewer scopes', member, { scopes: [] }, { owner: { userId: 'alice' }, scopes: [] }],
    ['has no scope beyond one’s own', member, { scopes: ['tools', 'all'] }, { refused: 'beyond_own_scopes' }],
    ['is no service’s', member, { service: 'nightly' }, { refused: 'for_service' }],
    ['makes no other', { ...admin, accessToken: 'id' }, {}, { refused: 'by_access_token' }],
    [
      'is a service’s where an administrator says so, with any scope',
      admin,
      { service: 'nightly', scopes: ['all'] },
      { owner: { service: 'nightly' }, scopes: ['all'] },
    ],
    ['of a program is a service’s', program, { service: 'x' }, { owner: { service: 'x' }, scopes: [] }],
    ['of a program is not its own', program, {}, { refused: 'for_nobody' }],
  ]
  it.each(cases)('%s', (_name, asker, wanted, allowed) => {
    expect(allowedAccessToken(asker, wanted)).toEqual(allowed)
  })

  it('is ended by its user, and by those who administer', () => {
    const managers = { ...member, role: 'manager' } as const
    expect([member, managers, admin, program].map(endsAccessTokensOf)).toEqual(['alice', 'alice', null, null])
  })
})
