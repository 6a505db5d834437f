/** What a tool says in text. */
export const text = (value: string) => ({ content: [{ type: 'text' as const, text: value }] })

/** A PNG of one red pixel. */
export const PNG =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC'

/** A WAV of no samples at all. */
export const WAV = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA='

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
