/** Set by `npm run test:deep`, which names the files that ask: minutes in place of seconds. */
export const DEEP = process.env['DEEP'] !== undefined

/** How often a property is tried: the same cases every time in `npm test`, others each time in `npm run test:deep`. */
export const tries = (few: number, many: number): { numRuns: number; seed?: number } =>
  DEEP ? { numRuns: many } : { numRuns: few, seed: 20_261_001 }

/** Milliseconds that a test may take. */
export const patience = DEEP ? 3_600_000 : 30_000
