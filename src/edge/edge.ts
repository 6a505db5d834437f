import type { Context, MiddlewareHandler } from 'hono'
import { secureHeaders } from 'hono/secure-headers'
import type { Refusal } from '../errors.ts'
import { requestId } from '../request-id.ts'
import { addressCap } from './address-cap.ts'
import { requestFault } from './request-bounds.ts'

export interface EdgeOptions {
  /** The other end of the connection; undefined where nobody knows, and no cap can hold them. */
  peerOf: (c: Context) => string | undefined
  /** How many proxies of ours stand in front. */
  trustedProxies: number
  /** Writes a refusal as the route writes its own. */
  refuse: (c: Context, refusal: Refusal) => Response
  /** Whether clients reach the server by https. */
  https: boolean
  /** @default Date.now */
  now?: (() => number) | undefined
}

/** What stands in nobody's way: answers are JSON, and pages bring their own policy. */
const headers = ({ https }: EdgeOptions): MiddlewareHandler =>
  secureHeaders({
    contentSecurityPolicy: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
    // Other names below this one are not ours to decide about.
    strictTransportSecurity: https ? 'max-age=15552000' : false,
    xFrameOptions: 'DENY',
    // What a route says of itself stays.
    overwrite: false,
  })

const bounds = ({ refuse }: EdgeOptions): MiddlewareHandler =>
  async function bounds(c, next) {
    const fault = requestFault(c.req.raw)
    return fault === null ? await next() : refuse(c, fault)
  }

/** What every answer carries: headers that make it safe to open, and the id of its request. */
export const everyAnswer = (options: EdgeOptions): MiddlewareHandler[] => [headers(options), requestId]

/** What every request passes before anybody reads it: the cap of its address, and the bounds of what may be sent. */
export const everyRequest = (options: EdgeOptions): MiddlewareHandler[] => [
  addressCap(options),
  bounds(options),
]
