import { generateKeyPairSync } from 'node:crypto'
import type { JWK } from 'jose'

/** A key for the assertions of a trial. It lives as long as the process: servers that verify fetch the next one. */
export const makeAssertionKey = (): JWK =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })
