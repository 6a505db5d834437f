import { randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { errorCode } from '../db/client.ts'
import { uuidV5 } from '../uuid.ts'
import type { Role } from '../variables.ts'

/** Whose tokens the trial accepts. Kept beside the data, and the same whatever the port. */
export interface TrialIdentity {
  issuer: string
  audience: string
  /** HS256 secret, taken as raw UTF-8 as `SUPABASE_JWT_SECRET` is. */
  secret: string
}

export const ROLES = ['member', 'manager', 'finance', 'admin', 'service'] as const satisfies readonly Role[]

export interface TokenRequest {
  /** Up to 100 characters; the same name, in capitals or not, is the same user. */
  name: string
  /** Default `member`. `service` gives a program's token, which is no user. */
  role?: Role | undefined
  department?: string | undefined
  /** Default: the name at example.com. */
  email?: string | undefined
  /** Default 30 days. */
  expiresInSeconds?: number | undefined
}

/** The three users whose tokens the trial prints. */
export const TRIAL_USERS = [
  { name: 'Alice Admin', role: 'admin', department: 'Engineering' },
  { name: 'Bob Builder', role: 'member', department: 'Engineering' },
  { name: 'Carol Counter', role: 'finance', department: 'Finance' },
] as const satisfies readonly TokenRequest[]

const ISSUER = 'urn:mcp-user-context:trial'
/** Of the trial's names (RFC 9562 section 5.5); changing it would make everybody a new user. */
const NAMES = '3b6c1b54-6c0a-4c55-8a0e-6c6b1a1d7f21'
const MONTH = 30 * 24 * 60 * 60

/**
 * What stands in a file of this folder, such as `identity.json`; made at first sight, by one process if several try.
 */
function kept(folder: string, name: string, make: () => string): { file: string; text: string } {
  const file = join(folder, name)
  try {
    return { file, text: readFileSync(file, 'utf8') }
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
  }
  mkdirSync(folder, { recursive: true })
  const draft = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`
  writeFileSync(draft, make(), { mode: 0o600 })
  try {
    // A link appears whole, and only where nothing stands.
    linkSync(draft, file)
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error
  } finally {
    rmSync(draft, { force: true })
  }
  return { file, text: readFileSync(file, 'utf8') }
}

const secret = (): string => randomBytes(32).toString('base64url')

/** The key of the trial's cookies, from `cookie-key` in this folder: who is signed in stays so after a restart. */
export const loadCookieKey = (folder: string): string => kept(folder, 'cookie-key', secret).text.trim()

/**
 * The trial's identity from `identity.json` in this folder; made at first sight.
 * @throws Error when the file is no identity.
 * @example const token = await mintToken(loadIdentity('.data'), { name: 'alice' })
 */
export function loadIdentity(folder: string): TrialIdentity {
  const { file, text } = kept(folder, 'identity.json', () => {
    const identity: TrialIdentity = { issuer: ISSUER, audience: ISSUER, secret: secret() }
    return `${JSON.stringify(identity, null, 2)}\n`
  })
  try {
    const { issuer, audience, secret }: Partial<Record<string, unknown>> = JSON.parse(text)
    if (typeof issuer === 'string' && typeof audience === 'string' && typeof secret === 'string') {
      return { issuer, audience, secret }
    }
  } catch {
    // Told below: the parser's message may quote the secret.
  }
  throw new Error(`${file} is not the trial's identity: remove it to get a new one`)
}

/** What stands before the @ when no e-mail is given: Latin letters of the name, or a piece of the id. */
function mailbox(name: string, id: string): string {
  const latin = name.normalize('NFKD').replaceAll(/\p{M}/gu, '').toLowerCase()
  return latin.replaceAll(/[^a-z0-9]+/g, '-').replaceAll(/^-|-$/g, '') || `user-${id.slice(0, 8)}`
}

/**
 * Signs a token shaped as Supabase's.
 * @throws TypeError when the name is empty or longer than 100 characters.
 * @example await mintToken(identity, { name: 'Bob Builder', role: 'manager', department: 'Engineering' })
 */
export async function mintToken(identity: TrialIdentity, request: TokenRequest): Promise<string> {
  const { role = 'member', department, expiresInSeconds = MONTH } = request
  const name = request.name.normalize('NFC').trim()
  if (name === '' || name.length > 100) throw new TypeError('A name has 1 to 100 characters')
  const id = await uuidV5(NAMES, name.toLowerCase())
  const metadata = department === undefined ? {} : { department }
  const claims =
    role === 'service'
      ? { role: 'service_role', app_metadata: metadata }
      : {
          sub: id,
          email: request.email ?? `${mailbox(name, id)}@example.com`,
          user_metadata: { full_name: name },
          app_metadata: { role, ...metadata },
        }
  const now = Math.floor(Date.now() / 1000)
  return new SignJWT(claims)
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setIssuer(identity.issuer)
    .setAudience(identity.audience)
    .setIssuedAt(now)
    .setExpirationTime(now + expiresInSeconds)
    .setJti(crypto.randomUUID())
    .sign(new TextEncoder().encode(identity.secret))
}
