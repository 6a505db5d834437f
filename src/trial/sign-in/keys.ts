import { generateKeyPairSync, randomBytes, type JsonWebKey } from 'node:crypto'
import { join } from 'node:path'
import { keep } from '../kept.ts'

/** The provider's own secrets. Kept, so that tokens, cookies and clients outlive a restart and a change of port. */
export interface SignInKeys {
  /** Private; the provider publishes its public half. */
  signingKey: JsonWebKey & { kid: string }
  /** Signs the provider's cookies. */
  cookieKey: string
  /** Of the dashboard, a client of the provider like any other. */
  dashboardSecret: string
}

const random = (): string => randomBytes(32).toString('base64url')

/**
 * The provider's keys from `sign-in-keys.json` in this folder.
 * @throws Error when the file holds something else.
 */
export const loadSignInKeys = (folder: string): SignInKeys =>
  keep(join(folder, 'sign-in-keys.json'), "the keys of the trial's sign-in", parse, () => {
    // What OpenID providers sign with unless told otherwise (OpenID Connect Core section 15.1).
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    return {
      signingKey: { ...privateKey.export({ format: 'jwk' }), kid: random(), alg: 'RS256', use: 'sig' },
      cookieKey: random(),
      dashboardSecret: random(),
    }
  })

function parse(value: unknown): SignInKeys {
  const keys = value as SignInKeys
  const texts = [keys.cookieKey, keys.dashboardSecret, keys.signingKey.kid]
  if (keys.signingKey.kty !== 'RSA' || !texts.every((text) => typeof text === 'string')) {
    throw new TypeError('not keys')
  }
  return keys
}
