import { percent, shareOf } from '../format.ts'
import { html, type Html } from '../html.ts'

const WIDTH = 120
const HEIGHT = 10

/** How much of a limit is used, and how much is held beside: a bar whose parts differ in form and not in colour alone. */
export function meter({ used, held, limit }: { used: number; held: number; limit: number }): Html {
  const share = (part: number): number => Math.min(1, shareOf(part, limit))
  const [usedWidth, bothWidth] = [share(used) * WIDTH, share(used + held) * WIDTH]
  const label = `${percent(shareOf(used, limit))} used${held > 0 ? `, ${percent(shareOf(held, limit))} held` : ''}`
  const state = used + held >= limit ? 'full' : used + held >= limit * 0.8 ? 'near' : 'free'
  return html`<svg
    class="meter ${state}"
    role="img"
    aria-label="${label}"
    width="${WIDTH}"
    height="${HEIGHT}"
    viewBox="0 0 ${WIDTH} ${HEIGHT}"
  >
    <rect class="ground" x="0.5" y="0.5" width="${WIDTH - 1}" height="${HEIGHT - 1}" rx="3" />
    <rect class="used" width="${usedWidth.toFixed(1)}" height="${HEIGHT}" rx="3" />
    <line
      class="held"
      x1="${usedWidth.toFixed(1)}"
      x2="${bothWidth.toFixed(1)}"
      y1="${HEIGHT / 2}"
      y2="${HEIGHT / 2}"
    />
  </svg>`
}
