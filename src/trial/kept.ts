import { randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { errorCode } from '../db/client.ts'

const draftOf = (file: string): string => `${file}.${process.pid}.${randomBytes(4).toString('hex')}`

/**
 * What a file of the trial holds: made at first sight, by one process if several try; for its owner alone to read.
 * @param parse throws on what it does not know.
 * @param what names the content in the message, such as "the trial's identity".
 * @throws Error when the file holds something else.
 */
export function keep<T>(file: string, what: string, parse: (value: unknown) => T, make: () => T): T {
  const known = readKept(file, what, parse)
  if (known !== null) return known
  mkdirSync(dirname(file), { recursive: true })
  const draft = draftOf(file)
  writeFileSync(draft, `${JSON.stringify(make(), null, 2)}\n`, { mode: 0o600 })
  try {
    // A link appears whole, and only where nothing stands.
    linkSync(draft, file)
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error
  } finally {
    rmSync(draft, { force: true })
  }
  return readKept(file, what, parse)!
}

/** What a file holds, or null when there is none. @throws Error when it holds something else. */
export function readKept<T>(file: string, what: string, parse: (value: unknown) => T): T | null {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null
    throw error
  }
  try {
    return parse(JSON.parse(text))
  } catch {
    // Not the cause: the parser's message may quote a secret.
    throw new Error(`${file} is not ${what}: remove it to get a new one`)
  }
}

/** Writes a file whole or not at all, for its owner alone to read. */
export function writeKept(file: string, value: unknown): void {
  mkdirSync(dirname(file), { recursive: true })
  const draft = draftOf(file)
  writeFileSync(draft, `${JSON.stringify(value)}\n`, { mode: 0o600 })
  renameSync(draft, file)
}
