import { compare, throughput } from './compare.ts'
import { exporting } from './export.ts'
import { groups } from './groups.ts'
import { limits } from './limits.ts'
import { outage } from './outage.ts'
import { pages } from './pages.ts'
import { reports } from './reports.ts'
import { startup } from './startup.ts'

/** Each prints what it saw, and throws when a promise was broken. */
const benches: Record<string, (options: string[]) => Promise<void>> = {
  throughput,
  compare,
  groups,
  limits,
  outage,
  export: exporting,
  reports,
  pages,
  startup,
}

const [name = 'throughput', ...options] = process.argv.slice(2)
if (!Object.hasOwn(benches, name)) {
  console.error(`There is no bench "${name}": give one of ${Object.keys(benches).join(', ')}`)
  process.exit(2)
}
const start = performance.now()
try {
  await benches[name]!(options)
} catch (error) {
  console.error(error)
  process.exitCode = 1
}
console.log(`${Math.round((performance.now() - start) / 1000)} s`)
