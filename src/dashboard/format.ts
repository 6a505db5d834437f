import { html, type Html } from './html.ts'

const USD = new Intl.NumberFormat('en-US', { style: 'currency', currency: 'USD' })
const COUNT = new Intl.NumberFormat('en-US')
const SHORT = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 })
const SHORT_USD = new Intl.NumberFormat('en-US', {
  style: 'currency',
  currency: 'USD',
  notation: 'compact',
  maximumFractionDigits: 2,
})
const PERCENT = new Intl.NumberFormat('en-US', {
  style: 'percent',
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
})

/** USD rounded to cents, as people read it. What is less than half a cent is told to be something. */
export function usd(amount: string | number): string {
  const value = Number(amount)
  return value > 0 && value < 0.005 ? '<$0.01' : USD.format(value)
}

/** USD rounded for reading, with the exact amount for whoever asks. */
export const money = (amount: string): Html =>
  html`<data value="${amount}" title="${amount} USD">${usd(amount)}</data>`

/** A whole number with its thousands. */
export const count = (value: number): string => COUNT.format(value)

/** A number for the axis of a chart: `1.2M`. */
export const short = (value: number): string => SHORT.format(value)

/** USD for the axis of a chart. */
export const shortUsd = (value: number): string =>
  value < 10 && value > 0 ? usd(value) : SHORT_USD.format(value)

/** A share from 0 to 1. */
export const percent = (share: number): string => PERCENT.format(share)

/** How much of a whole; 0 of nothing. */
export const shareOf = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole)

/** Seconds as people say them: `3 min`, `2 h 5 min`, `4 d 3 h`. */
export function span(seconds: number): string {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  if (hours < 24) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`
  return hours % 24 === 0 ? `${Math.floor(hours / 24)} d` : `${Math.floor(hours / 24)} d ${hours % 24} h`
}

/** Milliseconds as people say them. */
export const milliseconds = (ms: number): string =>
  ms < 1000 ? `${ms} ms` : ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : span(ms / 1000)

/** A moment in a zone, to the minute or (`medium`) to the second. */
export const moment = (iso: string, timezone: string, timeStyle: 'short' | 'medium' = 'short'): Html => {
  const text = new Intl.DateTimeFormat('en-GB', {
    timeZone: timezone,
    dateStyle: 'medium',
    timeStyle,
  }).format(new Date(iso))
  return html`<time datetime="${iso}" title="${iso}">${text}</time>`
}

/** How long ago a moment was, with the moment itself for whoever asks. */
export const ago = (iso: string, now: Date): Html => {
  const seconds = (now.getTime() - Date.parse(iso)) / 1000
  return html`<time datetime="${iso}" title="${iso}"
    >${seconds < 60 ? 'just now' : `${span(seconds)} ago`}</time
  >`
}

/** A calendar day such as `2026-10-01`, as `1 Oct 2026`. */
export const day = (date: string, options: Intl.DateTimeFormatOptions = { dateStyle: 'medium' }): string =>
  new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC', ...options }).format(new Date(`${date}T00:00:00Z`))

/** A change against what was before: `+12 %`; null where there was nothing before. */
export function change(current: number, previous: number): string | null {
  if (previous === 0) return null
  const share = (current - previous) / previous
  return `${share > 0 ? '+' : share < 0 ? '−' : '±'}${percent(Math.abs(share))}`
}
