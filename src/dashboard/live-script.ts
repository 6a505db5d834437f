/**
 * The one script: while somebody looks, it listens for changes, fetches the open page again when it is told of one, and
 * replaces those parts with `data-live` that differ. What is open stays open, and a part in which somebody works is left
 * alone until they leave it. The value of `data-live` says what to listen for. A page that may not be loaded again says
 * that it is of a time that is over.
 */
export const LIVE_SCRIPT = `const AGAIN_MS = 60_000
const parts = () => [...document.querySelectorAll('[data-live][id]')]
let stream
let busy = false
let missed = false
let fresh = null
let over = false

function replace(part, next) {
  if (part.innerHTML === next.innerHTML) return
  const open = [...part.querySelectorAll('details')].map((one) => one.open)
  const scrolled = [...part.querySelectorAll('.scroll')].map((one) => one.scrollLeft)
  part.replaceChildren(...next.childNodes)
  part.querySelectorAll('details').forEach((one, i) => (one.open = open[i] ?? one.open))
  part.querySelectorAll('.scroll').forEach((one, i) => (one.scrollLeft = scrolled[i] ?? 0))
}

function isInUse(part) {
  const selected = getSelection()
  const reads = selected !== null && !selected.isCollapsed && part.contains(selected.anchorNode)
  return reads || part.matches(':focus-within, :active')
}

function swap() {
  for (const part of parts()) {
    const next = fresh?.getElementById(part.id)
    if (!next || isInUse(part)) continue
    replace(part, next)
    next.remove()
  }
}

async function update() {
  missed = busy
  if (busy) return
  busy = true
  try {
    const answer = await fetch(location.href, { credentials: 'same-origin', redirect: 'manual' })
    if (answer.type === 'opaqueredirect' || answer.status === 403) tellOver()
    if (!answer.ok) return
    fresh = new DOMParser().parseFromString(await answer.text(), 'text/html')
    swap()
  } catch {
    // Out of reach: the next time will do.
  } finally {
    busy = false
    if (missed) update()
  }
}

function tellOver() {
  stream?.close()
  if (over) return
  over = true
  const again = Object.assign(document.createElement('a'), { href: location.href, textContent: 'Load it again' })
  const notice = Object.assign(document.createElement('p'), { className: 'notice', role: 'alert' })
  notice.append('Your sign-in is over: this page shows how it was. ', again, '.')
  document.querySelector('main').prepend(notice)
}

function listen() {
  stream?.close()
  const [part] = parts()
  if (document.hidden || over || part === undefined) return
  const own = (stream = new EventSource(new URL('../live?' + part.dataset.live, import.meta.url)))
  let reopened = false
  own.addEventListener('changed', update)
  own.addEventListener('open', () => {
    if (reopened) update()
    reopened = true
  })
  own.addEventListener('error', () => {
    if (own.readyState !== EventSource.CLOSED || own !== stream) return
    setTimeout(() => own === stream && listen(), AGAIN_MS)
    update()
  })
}

// On a phone the navigation is wider than the screen.
document.querySelector('.pages [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' })

if ('EventSource' in globalThis) {
  listen()
  document.addEventListener('visibilitychange', () => {
    listen()
    if (!document.hidden && !over && parts().length > 0) update()
  })
  document.addEventListener('focusout', () => setTimeout(swap))
  document.addEventListener('selectionchange', swap)
}
`
