import { readFileSync, readdirSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { join, posix } from 'node:path'
import { describe, expect, it } from 'vitest'

const CLI = [
  'cli.ts',
  'cli-run.ts',
  'cli-quota.ts',
  'cli-prices.ts',
  'cli-doctor.ts',
  'cli-checkup.ts',
  'cli-personal.ts',
  'cli-users.ts',
  'cli-token.ts',
  'cli-csv.ts',
  'checkup.ts',
]
const ENTRIES = ['node.ts', 'bun.ts', 'worker.ts', ...CLI, 'server.ts']
const MIDDLE = ['auth', 'sessions', 'limits', 'usage', 'personal-data']
const SHARED = [
  'mcp',
  'db',
  'uuid.ts',
  'variables.ts',
  'errors.ts',
  'audit.ts',
  'limit-refusal.ts',
  'limit-answer.ts',
  'admission.ts',
  'request-id.ts',
]
const HOUSE = [
  'ledger',
  ...MIDDLE,
  'reports',
  'api',
  'dashboard',
  'edge',
  ...SHARED,
  'as-caller.ts',
  'file-response.ts',
]
const ROOTS = [
  'index.ts',
  'mcp-user-context.ts',
  'quota.ts',
  'app.ts',
  'on-demand.ts',
  'config.ts',
  'config-values.ts',
  'config-rules.ts',
  'version.ts',
  'config-upstreams.ts',
  'upstreams.ts',
]

/**
 * Who may import what of ours: a folder or a file of the root, and the others it may import beside itself.
 * `(types)` admits type imports alone. A folder or root file without a row here is a fault.
 */
const MAY_IMPORT: Record<string, string[]> = {
  mcp: [],
  db: [],
  'variables.ts': ['mcp', 'ledger (types)'],
  'uuid.ts': [],
  'request-id.ts': ['errors.ts'],
  'audit.ts': ['db'],
  'errors.ts': ['mcp', 'db (types)'],
  ledger: ['db'],
  'limit-refusal.ts': ['ledger (types)', 'errors.ts'],
  'limit-answer.ts': ['mcp', 'errors.ts'],
  'admission.ts': ['ledger', 'db', 'variables.ts', 'errors.ts', 'limit-refusal.ts'],
  'as-caller.ts': ['db', 'variables.ts', 'audit.ts', 'reports (types)'],
  ...Object.fromEntries(MIDDLE.map((folder) => [folder, ['ledger', ...SHARED]])),
  reports: ['db (types)'],
  'file-response.ts': [],
  edge: ['limits', ...SHARED],
  api: ['reports', ...MIDDLE, ...SHARED, 'as-caller.ts', 'file-response.ts', 'version.ts'],
  // The forms of pages are held to the schemas of REST.
  dashboard: ['api', 'reports', ...MIDDLE, ...SHARED, 'as-caller.ts', 'file-response.ts'],
  ...Object.fromEntries(ROOTS.map((root) => [root, [...HOUSE, ...ROOTS]])),
  ...Object.fromEntries([...ENTRIES, 'trial'].map((top) => [top, [...HOUSE, ...ROOTS, ...ENTRIES, 'trial']])),
}

const isEntry = (file: string) => ENTRIES.includes(file)
const isTrial = (file: string) => file.startsWith('trial/')
const knowsRuntime = (file: string) => isEntry(file) || isTrial(file) || file === 'db/migrate.ts'
/** The package as it is published: what the entries and the trial add comes from development dependencies. */
const isPublished = (file: string) => CLI.includes(file) || (!isEntry(file) && !isTrial(file))

/** Which modules of others a file may not import. */
const PACKAGE_RULES: {
  rule: string
  forbids: (module: string, declared: Set<string>) => boolean
  in: (file: string) => boolean
}[] = [
  {
    rule: 'knows no runtime: node:, bun: and cloudflare: belong to the entries, trial/ and db/migrate.ts',
    forbids: isRuntimeModule,
    in: (file) => !knowsRuntime(file),
  },
  {
    rule: 'imports no MCP SDK: it belongs to trial/ and test/',
    forbids: (module) => /^(?:@modelcontextprotocol\/|@hono\/mcp(?:\/|$))/.test(module),
    in: (file) => !isTrial(file),
  },
  {
    rule: 'imports no hono: reports answer anybody',
    forbids: (module) => /^(?:hono|@hono)(?:\/|$)/.test(module),
    in: (file) => file.startsWith('reports/'),
  },
  {
    rule: 'imports no full zod: it belongs to api/, zod/mini elsewhere',
    forbids: (module) => /^(?:zod|zod\/v4|@hono\/zod-validator)$/.test(module),
    in: (file) => !file.startsWith('api/') && !isEntry(file) && !isTrial(file),
  },
  {
    rule: 'imports what only pages and files need: middleware stays small',
    forbids: (module) => /^(?:d3-|oauth4webapi$)/.test(module),
    in: (file) => !/^(?:dashboard|api|reports)\//.test(file) && !isEntry(file) && !isTrial(file),
  },
  {
    rule: 'imports what package.json does not declare for those who install it',
    forbids: (module, declared) => !isRuntimeModule(module) && !declared.has(packageOf(module)),
    in: isPublished,
  },
]

/** What a line may not say; comments and the contents of strings are not read, but for the last rule. */
const LINE_RULES: { rule: string; pattern: RegExp; in: (file: string) => boolean; comments?: true }[] = [
  { rule: 'has a default export', pattern: /^export default\b|\bas default\b/, in: (file) => !isEntry(file) },
  {
    rule: 'exports by *: public names are listed by hand',
    pattern: /^export \*/,
    in: (file) => file === 'index.ts',
  },
  {
    rule: 'imports by a computed name, which nobody can check',
    pattern: /\bimport\((?!''|$)/,
    in: isPublished,
  },
  { rule: 'says any', pattern: /(?::|\bas|<)\s*any\b/, in: () => true },
  { rule: 'silences the compiler', pattern: /@ts-(?:ignore|nocheck)\b/, in: () => true, comments: true },
]

const MOST_LINES = 250

function isRuntimeModule(module: string): boolean {
  return isBuiltin(module) || /^(?:node|bun|cloudflare):|^bun$/.test(module)
}

function packageOf(module: string): string {
  return module.split('/', module.startsWith('@') ? 2 : 1).join('/')
}

/** The files of src by their path in it, with their text. */
type Source = ReadonlyMap<string, string>

interface Import {
  file: string
  line: number
  /** As it is written; `target` is the file of ours that it means. */
  module: string
  target: string | undefined
  typeOnly: boolean
}

const zoneOf = (file: string): string => file.split('/', 1)[0] ?? file

/** Lines that are a comment become empty; the formatter puts every comment of several lines on lines of its own. */
const code = (text: string): string => text.replace(/^\s*(?:\/\/|\/\*|\*).*$/gm, '')

const CLAUSE = String.raw`(?:(?!\n(?:import|export)\b)[\w$\s{},*])*?`
/** The formatter starts every statement of the top level at the start of a line. */
const STATIC = new RegExp(
  String.raw`^(?:import|export)\b(${CLAUSE})(?:\bfrom\s*|(?<=^import\s+))['"]([^'"]+)['"]`,
  'gm',
)
const DYNAMIC = /(\btypeof\s+)?\b(?:import|require)\(\s*['"`]([^'"`]+)['"`]\s*\)(\.[A-Z])?/g

function importsOf(file: string, text: string): Import[] {
  const source = code(text).replace(/ \/\/ .*$/gm, '')
  const found = (at: number, module: string, typeOnly: boolean): Import => ({
    file,
    line: source.slice(0, at).split('\n').length,
    module,
    target: module.startsWith('.') ? posix.join(posix.dirname(file), module) : undefined,
    typeOnly,
  })
  return [
    ...[...source.matchAll(STATIC)].map(({ index, 1: clause = '', 2: module = '' }) =>
      found(index, module, /^\s+type\b(?!\s+from\b)/.test(clause)),
    ),
    ...[...source.matchAll(DYNAMIC)].map(({ index, 1: before, 2: module = '', 3: member }) =>
      found(index, module, before !== undefined || member !== undefined),
    ),
  ]
}

function importFaults({ file, line, module, target, typeOnly }: Import, declared: Set<string>): string[] {
  const at = `src/${file}:${line}`
  if (target === undefined) {
    return PACKAGE_RULES.filter((rule) => rule.in(file) && rule.forbids(module, declared)).map(
      ({ rule }) => `${at} ${rule} (${module})`,
    )
  }
  if (target.startsWith('../')) return isPublished(file) ? [`${at} leaves src (${module})`] : []
  const [from, to] = [zoneOf(file), zoneOf(target)]
  const allowed = MAY_IMPORT[from] ?? []
  if (from === to || allowed.includes(to) || (typeOnly && allowed.includes(`${to} (types)`))) return []
  return [`${at} ${from} may import ${allowed.join(', ') || 'nothing of ours'}, not ${module}`]
}

const linesOf = (source: string): string[] => source.split('\n')

function fileFaults(file: string, text: string): string[] {
  const bare = linesOf(
    code(text).replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\\n]|\\.)*`/g, "''"),
  )
  const faults = LINE_RULES.filter((rule) => rule.in(file)).flatMap(({ rule, pattern, comments }) =>
    (comments ? linesOf(text) : bare).flatMap((line, i) =>
      pattern.test(line) ? [`src/${file}:${i + 1} ${rule}`] : [],
    ),
  )
  const length = linesOf(text.trimEnd()).length
  if (length > MOST_LINES)
    faults.push(`src/${file}:${MOST_LINES + 1} is longer than ${MOST_LINES} lines (${length})`)
  if (MAY_IMPORT[zoneOf(file)] === undefined) faults.push(`src/${file}:1 has no row in MAY_IMPORT`)
  return faults
}

/** Every chain of value imports that a walk from `start` meets first, by the file at its end. */
function chainsFrom(start: string, imports: Map<string, Import[]>): Map<string, Import[]> {
  const chains = new Map<string, Import[]>([[start, []]])
  for (const [file, chain] of chains) {
    for (const next of imports.get(file) ?? []) {
      if (next.target !== undefined && !chains.has(next.target)) chains.set(next.target, [...chain, next])
    }
  }
  return chains
}

const asPath = (chain: Import[]): string => chain.map(({ target }) => `src/${target}`).join(' → ')

function graphFaults(source: Source, all: Import[]): string[] {
  const imports = new Map<string, Import[]>()
  for (const one of all) {
    if (one.typeOnly || one.target === undefined || !source.has(one.target)) continue
    imports.set(one.file, [...(imports.get(one.file) ?? []), one])
  }
  const cycles = [...imports].flatMap(([file, own]) =>
    own.flatMap((first) => {
      const back = chainsFrom(first.target ?? '', imports).get(file)
      // A cycle is told once, at the first of its files by name.
      if (back === undefined || back.some(({ file: other }) => other < file)) return []
      return [`src/${file}:${first.line} is in a cycle: → ${asPath([first, ...back])}`]
    }),
  )
  const reached = source.has('index.ts') ? [...chainsFrom('index.ts', imports)] : []
  const runtimes = reached.filter(([file]) => knowsRuntime(file))
  return [
    ...cycles,
    ...runtimes.map(
      ([, chain]) => `src/index.ts:${chain[0]?.line} reaches what knows a runtime: → ${asPath(chain)}`,
    ),
  ]
}

/** Public names whose declaration is not right under a docstring. */
function docFaults(source: Source): string[] {
  const index = code(source.get('index.ts') ?? '')
  return [...index.matchAll(/^export (?:type )?\{([^}]*)\} from '(\.[^']+)'/gm)].flatMap(
    ({ 1: names = '', 2: module = '' }) => {
      const file = posix.join('.', module)
      const text = source.get(file) ?? ''
      return names.split(',').flatMap((item) => {
        const name =
          item
            .trim()
            .replace(/^type /, '')
            .split(' as ')[0] ?? ''
        if (name === '') return []
        const declared = new RegExp(
          `^export (?:async )?(?:function|const|class|interface|type) ${name}\\b`,
          'm',
        ).exec(text)
        if (declared === null)
          return [`src/${file}:1 does not declare ${name}, which src/index.ts exports from it`]
        const before = text.slice(0, declared.index)
        return /\*\/\s*$/.test(before)
          ? []
          : [`src/${file}:${before.split('\n').length} ${name} is public and has no docstring`]
      })
    },
  )
}

/** Every breach of the house rules, as `src/file:line what`. */
function houseFaults(source: Source, declared: Set<string>): string[] {
  const imports = [...source].flatMap(([file, text]) => importsOf(file, text))
  return [
    ...imports.flatMap((one) => importFaults(one, declared)),
    ...[...source].flatMap(([file, text]) => fileFaults(file, text)),
    ...graphFaults(source, imports),
    ...docFaults(source),
  ]
}

const ROOT = join(import.meta.dirname, '..')
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')
/** The names under one key of package.json. */
const namesOf = (key: string): string[] => {
  const manifest: unknown = JSON.parse(read('package.json'))
  const value: unknown = typeof manifest === 'object' && manifest !== null ? Reflect.get(manifest, key) : null
  return typeof value === 'object' && value !== null ? Object.keys(value) : []
}
const DECLARED = new Set([...namesOf('dependencies'), ...namesOf('peerDependencies')])

describe('the house', () => {
  it('keeps its rules in every file of src', () => {
    const files = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
      .map((file) => file.replaceAll('\\', '/'))
      .filter((file) => /\.tsx?$/.test(file) && !file.includes('node_modules/'))
    expect(files).toContain('variables.ts')
    expect(houseFaults(new Map(files.map((file) => [file, read(`src/${file}`)])), DECLARED)).toEqual([])
  })

  it('has four dependencies, three more for pages, and a price book and a tokenizer beside its one peer', () => {
    expect(namesOf('dependencies')).toEqual([
      '@hono/zod-validator',
      'd3-scale',
      'd3-shape',
      'jose',
      'oauth4webapi',
      'postgres',
      'zod',
    ])
    expect(namesOf('peerDependencies')).toEqual(['@pydantic/genai-prices', 'gpt-tokenizer', 'hono'])
  })

  it('records no registry address in the lock, so that any mirror will do', () => {
    expect(read('package-lock.json').match(/"resolved": "http[^"]*"/g)).toBeNull()
  })
})

describe('the check of the house', () => {
  const cases: { name: string; files: Record<string, string>; faults: string[] }[] = [
    {
      name: 'lets pass what is allowed',
      files: {
        'index.ts':
          "export { session } from './sessions/session.ts'\nexport type { Role } from './variables.ts'\n",
        'sessions/session.ts':
          "import {\n  a,\n  type B,\n} from '../mcp/a.ts'\nimport { z } from 'zod/mini'\n/** One. */\nexport const session = a\n",
        'mcp/a.ts':
          "/**\n * import('node:fs') in a comment, any: any\n */\nexport const a = 'as any' // : anything\n",
        'variables.ts': "/** Two. */\nexport type Role = 'admin'\n",
        'reports/costs.ts': "import type { Sql } from '../db/client.ts'\nexport const sql = ''\n",
        'db/client.ts': 'export type Sql = string\n',
        'worker.ts':
          "import net from 'node:net'\nimport { trial } from './trial/tools.ts'\nexport default { net, trial }\n",
        'trial/tools.ts': "export { McpServer as trial } from '@modelcontextprotocol/server'\n",
        'api/users.ts': "import { z } from 'zod'\nimport { zValidator } from '@hono/zod-validator'\n",
      },
      faults: [],
    },
    {
      name: 'a middleware imports another',
      files: {
        'limits/rate.ts': "import { a } from '../mcp/a.ts'\nimport type { S } from '../sessions/s.ts'\n",
      },
      faults: [
        'src/limits/rate.ts:2 limits may import ledger, mcp, db, uuid.ts, variables.ts, errors.ts, audit.ts, limit-refusal.ts, limit-answer.ts, admission.ts, request-id.ts, not ../sessions/s.ts',
      ],
    },
    {
      name: 'mcp imports something of ours',
      files: { 'mcp/a.ts': "\nexport { b } from '../errors.ts'\n" },
      faults: ['src/mcp/a.ts:2 mcp may import nothing of ours, not ../errors.ts'],
    },
    {
      name: 'reports import a value of db, and hono',
      files: {
        'reports/costs.ts': "import { open } from '../db/client.ts'\nimport type { Context } from 'hono'\n",
      },
      faults: [
        'src/reports/costs.ts:1 reports may import db (types), not ../db/client.ts',
        'src/reports/costs.ts:2 imports no hono: reports answer anybody (hono)',
      ],
    },
    {
      name: 'an import of several lines, a dynamic one, one for its effect, and one of types in an expression',
      files: {
        'db/a.ts':
          "import {\n  a, // it's the first\n} from '../auth/a.ts'\nimport '../auth/b.ts'\nconst c = await import('../auth/c.ts')\nlet d: typeof import('../auth/d.ts')\n",
      },
      faults: ['a', 'b', 'c', 'd'].map(
        (name, i) => `src/db/a.ts:${[1, 4, 5, 6][i]} db may import nothing of ours, not ../auth/${name}.ts`,
      ),
    },
    {
      name: 'the kit imports an entry and the trial',
      files: { 'app.ts': "import a from './worker.ts'\nimport { b } from './trial/b.ts'\n" },
      faults: ['./worker.ts', './trial/b.ts'].map((module, i) =>
        expect.stringMatching(`^src/app.ts:${i + 1} app.ts may import .*, not ${module}$`),
      ),
    },
    {
      name: 'modules of a runtime, with the prefix and without',
      files: {
        'usage/a.ts': "import fs from 'fs'\nimport 'node:net'\nimport { env } from 'cloudflare:workers'\n",
      },
      faults: ['fs', 'node:net', 'cloudflare:workers'].map(
        (module, i) =>
          `src/usage/a.ts:${i + 1} knows no runtime: node:, bun: and cloudflare: belong to the entries, trial/ and db/migrate.ts (${module})`,
      ),
    },
    {
      name: 'an SDK, full zod and an undeclared package',
      files: {
        'auth/a.ts':
          "import type { A } from '@hono/mcp'\nimport * as z from 'zod'\nimport x from 'left-pad/x'\n",
      },
      faults: [
        'src/auth/a.ts:1 imports no MCP SDK: it belongs to trial/ and test/ (@hono/mcp)',
        'src/auth/a.ts:1 imports what package.json does not declare for those who install it (@hono/mcp)',
        'src/auth/a.ts:2 imports no full zod: it belongs to api/, zod/mini elsewhere (zod)',
        'src/auth/a.ts:3 imports what package.json does not declare for those who install it (left-pad/x)',
      ],
    },
    {
      name: 'a cycle of values, while one of types is none',
      files: {
        'mcp/a.ts': "import { b } from './b.ts'\nimport type { D } from './d.ts'\n",
        'mcp/b.ts': "import { c } from './c.ts'\n",
        'mcp/c.ts': "\nimport { a } from './a.ts'\n",
        'mcp/d.ts': "import { a } from './a.ts'\n",
      },
      faults: ['src/mcp/a.ts:1 is in a cycle: → src/mcp/b.ts → src/mcp/c.ts → src/mcp/a.ts'],
    },
    {
      name: 'the public names reach node: through a folder',
      files: {
        'index.ts': "\nexport { a } from './db/a.ts'\n",
        'db/a.ts': "import { m } from './migrate.ts'\n/** A. */\nexport const a = m\n",
        'db/migrate.ts': "import fs from 'node:fs'\nexport const m = fs\n",
      },
      faults: ['src/index.ts:2 reaches what knows a runtime: → src/db/a.ts → src/db/migrate.ts'],
    },
    {
      name: 'public names without a docstring, or from elsewhere',
      files: {
        'index.ts': "export * from './errors.ts'\nexport { a, type B, c as d } from './mcp/a.ts'\n",
        'mcp/a.ts': '/** A. */\nexport const a = 1\nexport interface B {}\n',
        'errors.ts': '',
      },
      faults: [
        'src/index.ts:1 exports by *: public names are listed by hand',
        'src/mcp/a.ts:3 B is public and has no docstring',
        'src/mcp/a.ts:1 does not declare c, which src/index.ts exports from it',
      ],
    },
    {
      name: 'lines that say what they may not',
      files: {
        'ledger/a.ts':
          'export default 1\nconst a: any = 1\nconst b = a as any\nconst c = new Map<any, 1>()\n// @ts-ignore\nawait import(name)\n',
      },
      faults: [
        'src/ledger/a.ts:1 has a default export',
        'src/ledger/a.ts:6 imports by a computed name, which nobody can check',
        ...[2, 3, 4].map((line) => `src/ledger/a.ts:${line} says any`),
        'src/ledger/a.ts:5 silences the compiler',
      ],
    },
    {
      name: 'a long file, and one that leaves src',
      files: { 'db/a.ts': `import m from '../../package.json'\n${'\n'.repeat(249)}export const a = m\n` },
      faults: [
        'src/db/a.ts:1 leaves src (../../package.json)',
        'src/db/a.ts:251 is longer than 250 lines (251)',
      ],
    },
    {
      name: 'a folder nobody planned',
      files: { 'utils/a.ts': '' },
      faults: ['src/utils/a.ts:1 has no row in MAY_IMPORT'],
    },
  ]

  it.each(cases)('$name', ({ files, faults }) => {
    expect(houseFaults(new Map(Object.entries(files)), DECLARED)).toEqual(faults)
  })
})
