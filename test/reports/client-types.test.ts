import { expect, expectTypeOf, it } from 'vitest'
import type { ClientType } from '../../src/mcp/client-type.ts'
import { type ReportedClientType, reportedClientType } from '../../src/reports/client-types.ts'

const cases: [written: string, told: ReportedClientType][] = [
  ['Claude', 'Claude'],
  ['Claude Code', 'Claude'],
  ['KiRo', 'KiRo'],
  ['Unknown', 'Unknown'],
  ['my-script', 'Unknown'],
  ['cursor', 'Unknown'],
  ['', 'Unknown'],
]
it.each(cases)('tells %j as %s', (written, told) => {
  expect(reportedClientType(written)).toBe(told)
})

it('tells the types that sessions are written with', () => {
  expectTypeOf<ReportedClientType>().toEqualTypeOf<ClientType>()
})
