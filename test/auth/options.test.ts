import { describe, expect, it } from 'vitest'
import { createTokenVerifier } from '../../src/auth/tokens.ts'
import { userContext } from '../../src/auth/user-context.ts'
import { ISSUER, RESOURCE, SECRET, untyped } from './support.ts'

const TOKENS = { secret: SECRET, issuer: ISSUER, audience: RESOURCE }
const GOOD = { tokens: TOKENS, resource: RESOURCE }
const create = (options: unknown) => () => userContext(untyped(options))
const withTokens = (tokens: object) => ({ ...GOOD, tokens })

describe('options', () => {
  const wrong: [string, unknown, string][] = [
    ['no tokens', { resource: RESOURCE }, 'tokens is missing'],
    [
      'no key',
      withTokens({ issuer: ISSUER, audience: RESOURCE }),
      'tokens needs a secret, a jwksUrl or a verify function',
    ],
    [
      'verify undefined',
      withTokens({ verify: undefined }),
      'tokens needs a secret, a jwksUrl or a verify function',
    ],
    [
      'a short secret',
      withTokens({ ...TOKENS, secret: 's3cret' }),
      'tokens.secret must be at least 32 bytes long',
    ],
    [
      'an empty secret',
      withTokens({ ...TOKENS, secret: '' }),
      'tokens.secret must be at least 32 bytes long',
    ],
    ['no URL', withTokens({ ...TOKENS, jwksUrl: 'jwks.json' }), 'tokens.jwksUrl must be an absolute URL'],
    [
      'a file',
      withTokens({ ...TOKENS, jwksUrl: 'file:///jwks' }),
      'tokens.jwksUrl must be an http or https URL',
    ],
    [
      'plain http',
      withTokens({ ...TOKENS, jwksUrl: 'http://issuer.example/jwks' }),
      'tokens.jwksUrl must use https',
    ],
    [
      'http to a lookalike',
      withTokens({ ...TOKENS, jwksUrl: 'http://localhost.example/' }),
      'must use https',
    ],
    ['no issuer', withTokens({ ...TOKENS, issuer: undefined }), 'tokens.issuer is missing'],
    ['a blank issuer', withTokens({ ...TOKENS, issuer: ' ' }), 'tokens.issuer is missing'],
    ['no audience', withTokens({ ...TOKENS, audience: undefined }), 'tokens.audience is missing'],
    ['an empty audience', withTokens({ ...TOKENS, audience: '' }), 'tokens.audience is missing'],
    ['no audiences', withTokens({ ...TOKENS, audience: [] }), 'tokens.audience is missing'],
    [
      'too long a memory',
      withTokens({ ...TOKENS, cacheSeconds: 301 }),
      'tokens.cacheSeconds must be from 0 to 300',
    ],
    [
      'no number',
      withTokens({ ...TOKENS, cacheSeconds: Number.NaN }),
      'tokens.cacheSeconds must be from 0 to 300',
    ],
    ['no resource', { tokens: TOKENS }, 'resource must be an absolute URL'],
    ['a path', { ...GOOD, resource: '/mcp' }, 'resource must be an absolute URL'],
    ['a fragment', { ...GOOD, resource: `${RESOURCE}#a` }, 'resource must have no fragment'],
    ['an empty fragment', { ...GOOD, resource: `${RESOURCE}#` }, 'resource must have no fragment'],
    ['credentials', { ...GOOD, resource: 'https://a:b@mcp.example/' }, 'resource must not carry credentials'],
    ['two scopes in one', { ...GOOD, requiredScopes: ['a b'] }, 'requiredScopes must be a list of scopes'],
    ['scopes as text', { ...GOOD, requiredScopes: 'a b' }, 'requiredScopes must be a list of scopes'],
    [
      'a role users can edit',
      { ...GOOD, roleClaim: 'user_metadata.role' },
      'roleClaim must not lie in user_metadata',
    ],
    [
      'a department users can edit',
      { ...GOOD, departmentClaim: 'raw_user_meta_data.x' },
      'departmentClaim must not lie in',
    ],
    ['an empty claim', { ...GOOD, roleClaim: '' }, 'roleClaim must be the name of a claim'],
  ]
  it.each(wrong)('stop the start: %s', (_, options, says) => {
    expect(create(options)).toThrow(TypeError)
    expect(create(options)).toThrow(says)
  })

  it('are all named in one message, and the secret is not', () => {
    const options = { resource: 'mcp', tokens: { secret: 's3cret', jwksUrl: 'ftp://x' } }
    expect(create(options)).toThrow(
      /^userContext: tokens.secret .*; tokens.jwksUrl .*; tokens.issuer .*; tokens.audience .*; resource .*$/,
    )
    expect(create(options)).not.toThrow(/s3cret/)
    expect(() => createTokenVerifier({ issuer: '', audience: '' })).toThrow(
      /^createTokenVerifier: tokens needs .*; tokens.issuer .*; tokens.audience .*$/,
    )
  })

  const right: [string, unknown][] = [
    ['a secret of 32 bytes in fewer characters', withTokens({ ...TOKENS, secret: 'é'.repeat(16) })],
    ['keys on this machine', withTokens({ ...TOKENS, jwksUrl: 'http://127.0.0.1:8787/jwks' })],
    ['keys on this machine by name', withTokens({ ...TOKENS, jwksUrl: 'http://localhost/jwks' })],
    [
      'unset values from an environment',
      withTokens({ ...TOKENS, jwksUrl: undefined, cacheSeconds: undefined }),
    ],
    ['several audiences', withTokens({ ...TOKENS, audience: ['a', 'b'] })],
  ]
  it.each(right)('may be %s', (_, options) => {
    expect(create(options)).not.toThrow()
  })
})
