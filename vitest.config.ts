import { cloudflareTest } from '@cloudflare/vitest-plugin'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'
import { COOKIE_KEY, ISSUER, RESOURCE, SECRET } from './test/support/issuer.ts'

// The same files run in both runtimes, but for those whose name says otherwise and those that drive a browser.
export default defineConfig({
  test: {
    // A busy machine is no failure.
    testTimeout: 30_000,
    hookTimeout: 30_000,
    expect: { poll: { timeout: 10_000 } },
    isolate: false,
    // Much of the time is spent waiting for Postgres and for processes: with a worker a core they are idle.
    maxWorkers: 4,
    // For the processes that tests start.
    env: { NODE_COMPILE_CACHE: join(import.meta.dirname, 'node_modules/.cache/node') },
    globalSetup: ['./test/support/global-setup.ts'],
    projects: [
      {
        extends: true,
        test: {
          name: 'node',
          include: ['test/**/*.test.ts'],
          exclude: ['test/**/*.workerd.test.ts', 'test/browser/**'],
        },
      },
      {
        extends: true,
        plugins: [
          cloudflareTest({
            wrangler: { configPath: './wrangler.toml' },
            // What the Worker's own entry is tested with: test/support/issuer.ts.
            miniflare: {
              bindings: { PUBLIC_URL: RESOURCE, SUPABASE_JWT_SECRET: SECRET, JWT_ISSUER: ISSUER, COOKIE_KEY },
            },
          }),
        ],
        test: {
          name: 'workerd',
          include: ['test/**/*.test.ts'],
          exclude: ['test/**/*.node.test.ts', 'test/browser/**'],
        },
      },
      // Not in `npm test`: it needs a Chromium, which may lose a page on a busy machine; hence the second try.
      { extends: true, test: { name: 'browser', include: ['test/browser/**/*.test.ts'], retry: 1 } },
    ],
  },
})
