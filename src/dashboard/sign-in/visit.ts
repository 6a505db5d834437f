import type { Context } from 'hono'
import { getCookie, setCookie } from 'hono/cookie'
import { EncryptJWT, errors, jwtDecrypt } from 'jose'
import type { Claims } from '../../variables.ts'

/** What vouches for whoever is signed in: a token, or the claims of an ID token that was verified at sign-in. */
export type Credential = { kind: 'token'; token: string } | { kind: 'claims'; claims: Claims }

/** A sign-in with a provider that has begun. */
export interface PendingSignIn {
  state: string
  nonce: string
  verifier: string
  /** Where to go then. */
  to: string
}

/** What a browser's cookie says: encrypted, so that nobody but us reads or writes it. */
export interface Visit {
  /** Random, and new at every sign-in: forms are bound to it. */
  id: string
  credential?: Credential | undefined
  pending?: PendingSignIn | undefined
  /** Of somebody who came from the provider: its session ends with this one. */
  fromProvider?: { idToken?: string | undefined } | undefined
  /** With which the provider gives a new token. */
  refreshToken?: string | undefined
  /** Seconds since the epoch at which the credential is to be renewed, or the sign-in is over. */
  renewAt?: number | undefined
  /** Seconds since the epoch at which the cookie means nothing any more. */
  expiresAt: number
}

/** How long a sign-in lasts at most. */
export const VISIT_SECONDS = 12 * 60 * 60

const NAME = 'mcp_dashboard'
/** Browsers take 4096 bytes a cookie, name and attributes included. */
const PIECE = 3800
/** Node takes 16 KiB of headers in all. */
const MOST_PIECES = 4

/** A key for one purpose: the same text never encrypts and signs alike. */
async function derived(secret: string, purpose: string): Promise<Uint8Array> {
  const encoder = new TextEncoder()
  const key = await crypto.subtle.importKey('raw', encoder.encode(secret), 'HKDF', false, ['deriveBits'])
  const info = encoder.encode(`mcp-user-context dashboard ${purpose}`)
  const hkdf = { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(), info }
  return new Uint8Array(await crypto.subtle.deriveBits(hkdf, key, 256))
}

/** A visitor whom nobody knows yet. */
export const newVisit = (now: Date): Visit => ({
  id: crypto.randomUUID(),
  expiresAt: Math.floor(now.getTime() / 1000) + VISIT_SECONDS,
})

/** The cookie that holds a visit, for the path of the dashboard alone. */
export interface VisitCookie {
  read(c: Context, now: Date): Promise<Visit | null>
  write(c: Context, path: string, visit: Visit): Promise<void>
  /** What a form of this visit must send back. */
  formKey(visit: Visit): Promise<string>
}

const pieces = (c: Context): number => {
  let found = 0
  while (found < MOST_PIECES && getCookie(c, `${NAME}.${found}`) !== undefined) found++
  return found
}

/**
 * Keeps visits in encrypted cookies (JWE, `dir` with A256GCM), cut into pieces where a token is long.
 * @param secure whether browsers send it over https alone.
 */
export function createVisitCookie(cookieKey: string, { secure }: { secure: boolean }): VisitCookie {
  let keys: Promise<{ seal: Uint8Array; sign: CryptoKey }> | undefined
  const made = async () => {
    const signing = await derived(cookieKey, 'forms')
    const hmac = { name: 'HMAC', hash: 'SHA-256' }
    return {
      seal: await derived(cookieKey, 'cookie'),
      sign: await crypto.subtle.importKey('raw', signing, hmac, false, ['sign']),
    }
  }
  const keysOf = () => (keys ??= made())

  return {
    async read(c, now) {
      const sealed = Array.from({ length: pieces(c) }, (_, i) => getCookie(c, `${NAME}.${i}`) ?? '').join('')
      if (sealed === '') return null
      try {
        const { seal } = await keysOf()
        const { payload } = await jwtDecrypt<{ visit: Visit }>(sealed, seal, {
          currentDate: now,
          keyManagementAlgorithms: ['dir'],
          contentEncryptionAlgorithms: ['A256GCM'],
        })
        return { ...payload.visit, expiresAt: payload.exp ?? 0 }
      } catch (error) {
        // Expired, written with another key, or by somebody else.
        if (error instanceof errors.JOSEError) return null
        throw error
      }
    },
    async write(c, path, { expiresAt, ...visit }) {
      const { seal } = await keysOf()
      const sealedOf = (visit: Omit<Visit, 'expiresAt'>): Promise<string> =>
        new EncryptJWT({ visit })
          .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
          .setExpirationTime(expiresAt)
          .encrypt(seal)
      let sealed = await sealedOf(visit)
      // The provider knows who leaves without its ID token too: by its own session.
      if (sealed.length > PIECE * MOST_PIECES && visit.fromProvider !== undefined) {
        sealed = await sealedOf({ ...visit, fromProvider: {} })
      }
      if (sealed.length > PIECE * MOST_PIECES) throw new Error('The token is too long for a cookie')
      const attributes = { path: path === '' ? '/' : path, httpOnly: true, sameSite: 'Lax', secure } as const
      for (let i = 0; i < MOST_PIECES; i++) {
        const piece = sealed.slice(i * PIECE, (i + 1) * PIECE)
        if (piece !== '') setCookie(c, `${NAME}.${i}`, piece, attributes)
        else if (getCookie(c, `${NAME}.${i}`) !== undefined) {
          setCookie(c, `${NAME}.${i}`, '', { ...attributes, maxAge: 0 })
        }
      }
    },
    async formKey({ id }) {
      const { sign } = await keysOf()
      const mac = await crypto.subtle.sign('HMAC', sign, new TextEncoder().encode(id))
      return Array.from(new Uint8Array(mac).slice(0, 18), (byte) => byte.toString(16).padStart(2, '0')).join(
        '',
      )
    },
  }
}
