/**
 * What a process that a test starts knows of this one's environment: where programs lie, and where Node keeps what it
 * compiled (`vitest.config.ts`), without which a hundred processes would compile the same sources again.
 */
export const CLEAN_ENV = {
  PATH: process.env['PATH'],
  NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
}
