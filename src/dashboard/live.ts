/**
 * The one script: it fetches the open page again every few seconds while somebody looks, and replaces those parts with
 * `data-live` that have changed. What is open stays open, and a part in which somebody works is left alone.
 */
export const LIVE_SCRIPT = `const EVERY_MS = 10_000
let busy = false

function replace(part, next) {
  if (part.innerHTML === next.innerHTML) return
  const open = [...part.querySelectorAll('details')].map((one) => one.open)
  const scrolled = [...part.querySelectorAll('.scroll')].map((one) => one.scrollLeft)
  part.replaceChildren(...next.childNodes)
  part.querySelectorAll('details').forEach((one, i) => (one.open = open[i] ?? one.open))
  part.querySelectorAll('.scroll').forEach((one, i) => (one.scrollLeft = scrolled[i] ?? 0))
}

async function update() {
  const parts = document.querySelectorAll('[data-live][id]')
  if (busy || document.hidden || parts.length === 0) return
  busy = true
  try {
    const answer = await fetch(location.href, { credentials: 'same-origin', redirect: 'manual' })
    if (!answer.ok) return
    const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html')
    for (const part of parts) {
      const next = fresh.getElementById(part.id)
      const selected = getSelection()
      const reads = selected !== null && !selected.isCollapsed && part.contains(selected.anchorNode)
      if (next !== null && !reads && !part.contains(document.activeElement)) replace(part, next)
    }
  } catch {
    // Out of reach: the next time will do.
  } finally {
    busy = false
  }
}

setInterval(update, EVERY_MS)
document.addEventListener('visibilitychange', update)
`
