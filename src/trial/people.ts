import { join } from 'node:path'
import { uuidV5 } from '../uuid.ts'
import type { Role } from '../variables.ts'
import { readKept, writeKept } from './kept.ts'

export const ROLES = ['member', 'manager', 'finance', 'admin', 'service'] as const satisfies readonly Role[]

/** Somebody, as they are named when a token is made. */
export interface PersonRequest {
  /** Up to 100 characters; the same name, in capitals or not, is the same user. */
  name: string
  /** Default `member`. `service` is a program, which is no user. */
  role?: Role | undefined
  department?: string | undefined
  /** Default: the name at example.com. */
  email?: string | undefined
}

/** Somebody who can sign in, and what their tokens say of them, in the places where Supabase has it. */
export interface Person {
  sub: string
  email: string
  user_metadata: { full_name: string }
  app_metadata: { role: string; department?: string }
}

/** The three users whose tokens the trial prints. */
export const TRIAL_USERS = [
  { name: 'Alice Admin', role: 'admin', department: 'Engineering' },
  { name: 'Bob Builder', role: 'member', department: 'Engineering' },
  { name: 'Carol Counter', role: 'finance', department: 'Finance' },
] as const satisfies readonly PersonRequest[]

/** Of the trial's names (RFC 9562 section 5.5); changing it would make everybody a new user. */
const NAMES = '3b6c1b54-6c0a-4c55-8a0e-6c6b1a1d7f21'

/** What stands before the @ when no e-mail is given: Latin letters of the name, or a piece of the id. */
function mailbox(name: string, id: string): string {
  const latin = name.normalize('NFKD').replaceAll(/\p{M}/gu, '').toLowerCase()
  return latin.replaceAll(/[^a-z0-9]+/g, '-').replaceAll(/^-|-$/g, '') || `user-${id.slice(0, 8)}`
}

/** @throws TypeError when the name is empty or longer than 100 characters. */
export async function personOf(request: PersonRequest): Promise<Person> {
  const { role = 'member', department } = request
  const name = request.name.normalize('NFC').trim()
  if (name === '' || name.length > 100) throw new TypeError('A name has 1 to 100 characters')
  const sub = await uuidV5(NAMES, name.toLowerCase())
  return {
    sub,
    email: request.email ?? `${mailbox(name, sub)}@example.com`,
    user_metadata: { full_name: name },
    app_metadata: { role, ...(department === undefined ? {} : { department }) },
  }
}

const fileIn = (folder: string): string => join(folder, 'people.json')

const isPerson = (value: Partial<Person> | null): boolean =>
  typeof value?.sub === 'string' &&
  typeof value.email === 'string' &&
  typeof value.user_metadata?.full_name === 'string' &&
  typeof value.app_metadata?.role === 'string'

function parse(value: unknown): Person[] {
  if (!Array.isArray(value) || !value.every(isPerson)) throw new TypeError('not people')
  return value
}

const remembered = (folder: string): Person[] => readKept(fileIn(folder), "the trial's people", parse) ?? []

/** Everybody who can sign in: the trial's users, as they are or as a token has changed them, then all other names. */
export async function peopleOf(folder: string): Promise<Person[]> {
  const people = [...(await Promise.all(TRIAL_USERS.map(personOf))), ...remembered(folder)]
  return [...new Map(people.map((person) => [person.sub, person])).values()]
}

/** Lets somebody sign in whom a token was made for; the latest token says who they are. A program is nobody. */
export async function rememberPerson(folder: string, request: PersonRequest): Promise<void> {
  if (request.role === 'service') return
  const person = await personOf(request)
  const others = remembered(folder).filter(({ sub }) => sub !== person.sub)
  writeKept(fileIn(folder), [...others, person])
}
