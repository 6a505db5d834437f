import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { errorCode } from '../db/client.ts'
import { processStart } from './processes.ts'

/** The process that runs the trial's database, as the file beside the data tells it. */
export interface Owner {
  pid: number
  /** When that process began, lest its number has gone to another one since. */
  start: string
  /** The superuser's address; null while the server starts. */
  url: string | null
}

const isAlive = ({ pid, start }: Owner): boolean => processStart(pid) === start

function read(file: string): Owner | null {
  try {
    const owner: Owner = JSON.parse(readFileSync(file, 'utf8'))
    return owner
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null
    throw new Error(`${file} cannot be read: remove it when no trial is running`, { cause: error })
  }
}

/** The live process that owns the data beside this file, if there is one. */
export function currentOwner(file: string): Owner | null {
  const owner = read(file)
  return owner && isAlive(owner) ? owner : null
}

export class TrialInUse extends Error {
  override name = 'TrialInUse'
  readonly owner: Owner
  constructor(owner: Owner) {
    super(
      `The trial is already running as process ${owner.pid}: stop it first, or set DATABASE_URL to another database`,
    )
    this.owner = owner
  }
}

export interface Ownership {
  /** Tells others where the server is. */
  announce(url: string): void
  release(): void
}

/**
 * Makes this process the owner of the data beside `file`, also after an owner that was killed.
 * @throws TrialInUse while another owner lives, in this process or another one.
 */
export function takeOwnership(file: string): Ownership {
  const mine: Owner = { pid: process.pid, start: processStart(process.pid) ?? '', url: null }
  const draft = `${file}.${process.pid}`
  const write = (path: string) => writeFileSync(path, JSON.stringify(mine), { mode: 0o600 })
  write(draft)
  try {
    // A link appears whole, and only where nothing stands.
    for (;;) {
      try {
        linkSync(draft, file)
        break
      } catch (error) {
        if (errorCode(error) !== 'EEXIST') throw error
      }
      removeStale(file)
    }
  } finally {
    rmSync(draft, { force: true })
  }
  return {
    announce(url) {
      mine.url = url
      write(draft)
      renameSync(draft, file)
    },
    release: () => rmSync(file, { force: true }),
  }
}

/** Moved away before it is removed: of two that found the same dead owner, one must not remove the other's file. */
function removeStale(file: string): void {
  const owner = currentOwner(file)
  if (owner) throw new TrialInUse(owner)
  const aside = `${file}.${process.pid}.stale`
  try {
    renameSync(file, aside)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return
    throw error
  }
  const moved = currentOwner(aside)
  if (moved) linkSync(aside, file)
  rmSync(aside)
  if (moved) throw new TrialInUse(moved)
}
