import { Hono } from 'hono'
import { LIVE_SCRIPT } from './live-script.ts'
import { STYLE } from './styles/style.ts'

/** A word for a text: another text, another word (FNV-1a, 32 bits; nobody attacks our own style sheet). */
function fingerprint(text: string): string {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0
  return hash.toString(36)
}

const asset = (name: string, type: string, text: string) => {
  const [stem = '', ending = ''] = name.split('.')
  return { path: `/assets/${stem}.${fingerprint(text)}.${ending}`, type, text }
}

/** The files that pages load: their addresses change with their text, so that browsers keep them for ever. */
export const ASSETS = {
  style: asset('style.css', 'text/css; charset=utf-8', STYLE),
  live: asset('live.js', 'text/javascript; charset=utf-8', LIVE_SCRIPT),
}

/** The routes of these files. */
export const assets = () => {
  const routes = new Hono()
  for (const { path, type, text } of Object.values(ASSETS)) {
    routes.get(path, (c) =>
      c.body(text, 200, { 'content-type': type, 'cache-control': 'public, max-age=31536000, immutable' }),
    )
  }
  return routes
}
