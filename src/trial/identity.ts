import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { keep } from './kept.ts'
import { personOf, type PersonRequest } from './people.ts'

/** Whose tokens the trial accepts. Kept beside the data, and the same whatever the port. */
export interface TrialIdentity {
  issuer: string
  audience: string
  /** HS256 secret, taken as raw UTF-8 as `SUPABASE_JWT_SECRET` is. */
  secret: string
}

export interface TokenRequest extends PersonRequest {
  /** Default none. */
  scope?: string | undefined
  /** Default 30 days. */
  expiresInSeconds?: number | undefined
}

const ISSUER = 'urn:mcp-user-context:trial'
const MONTH = 30 * 24 * 60 * 60

const secret = (): string => randomBytes(32).toString('base64url')

/** The key of the trial's cookies, from `cookie-key` in this folder: who is signed in stays so after a restart. */
export const loadCookieKey = (folder: string): string =>
  keep(join(folder, 'cookie-key.json'), 'the key of cookies', String, secret)

/**
 * The trial's identity from `identity.json` in this folder.
 * @throws Error when the file is no identity.
 * @example const token = await mintToken(loadIdentity('.data'), { name: 'alice' })
 */
export const loadIdentity = (folder: string): TrialIdentity =>
  keep(join(folder, 'identity.json'), "the trial's identity", parse, () => ({
    issuer: ISSUER,
    audience: ISSUER,
    secret: secret(),
  }))

function parse(value: unknown): TrialIdentity {
  const { issuer, audience, secret } = value as Partial<Record<string, unknown>>
  if (typeof issuer !== 'string' || typeof audience !== 'string' || typeof secret !== 'string') {
    throw new TypeError('not an identity')
  }
  return { issuer, audience, secret }
}

/**
 * Signs a token shaped as Supabase's.
 * @throws TypeError when the name is empty or longer than 100 characters.
 * @example await mintToken(identity, { name: 'Bob Builder', role: 'manager', department: 'Engineering' })
 */
export async function mintToken(identity: TrialIdentity, request: TokenRequest): Promise<string> {
  const { scope, expiresInSeconds = MONTH } = request
  const person = await personOf(request)
  const { role: _role, ...metadata } = person.app_metadata
  const claims = request.role === 'service' ? { role: 'service_role', app_metadata: metadata } : person
  const now = Math.floor(Date.now() / 1000)
  return new SignJWT({ ...claims, ...(scope === undefined ? {} : { scope }) })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setIssuer(identity.issuer)
    .setAudience(identity.audience)
    .setIssuedAt(now)
    .setExpirationTime(now + expiresInSeconds)
    .setJti(crypto.randomUUID())
    .sign(new TextEncoder().encode(identity.secret))
}
