import { Hono } from 'hono'
import { describe, expect, it } from 'vitest'
import { onDemand } from '../src/on-demand.ts'
import { requestId, requestIdOf } from '../src/request-id.ts'

describe('an app that is made when it is asked for', () => {
  let made = 0
  const make = (): Promise<Hono> => {
    made += 1
    const pages = new Hono<{ Bindings: { peer?: string } }>()
    pages.get('/', (c) => c.json({ id: requestIdOf(c), peer: c.env.peer }))
    pages.post('/form', async (c) => c.json(await c.req.parseBody()))
    return Promise.resolve(new Hono().route('/pages', pages) as Hono)
  }
  const app = new Hono().use(requestId).all('/pages/*', onDemand(make))
  app.get('/other', (c) => c.text('other'))

  it('is made by the first request for it and by no other', async () => {
    await app.request('/other')
    expect(made).toBe(0)
    expect((await app.request('/pages', {}, {})).status).toBe(200)
    expect((await app.request('/pages', {}, {})).status).toBe(200)
    expect(made).toBe(1)
  })

  it('is asked as if its routes had been there', async () => {
    const answer = await app.request('/pages', {}, { peer: '192.0.2.1' })
    expect(await answer.json()).toEqual({ id: answer.headers.get('x-request-id'), peer: '192.0.2.1' })
    const form = { method: 'POST', body: new URLSearchParams({ name: 'Alice' }) }
    expect(await (await app.request('/pages/form', form)).json()).toEqual({ name: 'Alice' })
    expect((await app.request('/pages/none')).status).toBe(404)
  })

  it('is tried again when it could not be made', async () => {
    let broken = true
    const fragile = new Hono().all(
      '/pages/*',
      onDemand(() => (broken ? Promise.reject(new Error('not now')) : make())),
    )
    fragile.onError((_error, c) => c.text('', 500))
    expect((await fragile.request('/pages', {}, {})).status).toBe(500)
    broken = false
    expect((await fragile.request('/pages', {}, {})).status).toBe(200)
  })
})
