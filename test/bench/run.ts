import { throughput } from './throughput.ts'

const benches: Record<string, () => Promise<void>> = { throughput }

const [name = 'throughput'] = process.argv.slice(2)
const bench = benches[name]
if (bench === undefined) {
  console.error(`There is no bench "${name}": give one of ${Object.keys(benches).join(', ')}`)
  process.exit(2)
}
await bench()
