import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { currentOwner, takeOwnership, TrialInUse } from '../../src/trial/owner.ts'

let folder: string
let file: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'owner-'))
  file = join(folder, 'trial.json')
})
afterEach(() => rmSync(folder, { recursive: true }))

test('an owner is known with its address until it releases the data, and leaves no file', () => {
  expect(currentOwner(file)).toBeNull()
  const ownership = takeOwnership(file)
  expect(currentOwner(file)).toMatchObject({ pid: process.pid, url: null })
  ownership.announce('postgres://there')
  expect(currentOwner(file)).toMatchObject({ pid: process.pid, url: 'postgres://there' })
  expect(statSync(file).mode & 0o777).toBe(0o600)
  ownership.release()
  expect(readdirSync(folder)).toEqual([])
})

test('nobody else gets the data meanwhile, not even the same process', () => {
  const ownership = takeOwnership(file)
  expect(() => takeOwnership(file)).toThrow(TrialInUse)
  expect(readdirSync(folder)).toEqual(['trial.json'])
  ownership.release()
  takeOwnership(file).release()
})

test('an owner whose number went to another process is no owner', () => {
  writeFileSync(file, JSON.stringify({ pid: process.pid, start: 'long ago', url: 'postgres://gone' }))
  expect(currentOwner(file)).toBeNull()
  takeOwnership(file).release()
  expect(readdirSync(folder)).toEqual([])
})

test('a file that says nothing is not taken for a dead owner', () => {
  writeFileSync(file, '')
  expect(() => takeOwnership(file)).toThrow('cannot be read: remove it when no trial is running')
})
