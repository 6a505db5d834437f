import { createConfig, lintFromString } from '@redocly/openapi-core'
import { expect, it } from 'vitest'
import { useApi } from './support.ts'

const api = useApi()

/** The document with a fault in it, by which the linter is known to read it. */
const broken = (source: string): string => source.replace('"in":"path"', '"in":"nowhere"')

it('GET /openapi.json is valid by the rules of a linter', async () => {
  const source = await (await api.app.request('/api/mcp/openapi.json')).text()
  const config = await createConfig({ extends: ['recommended'] })
  const faults = async (text: string) =>
    (await lintFromString({ source: text, absoluteRef: 'openapi.json', config })).map(
      ({ ruleId, message, location }) => `${ruleId} ${message} ${location[0]?.pointer}`,
    )
  expect(await faults(source)).toEqual([])
  expect(await faults(broken(source))).not.toEqual([])
})
