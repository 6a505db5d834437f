import * as z from 'zod'
import type { McpClient } from '../../reports/clients.ts'
import type { DisconnectedSession, DisconnectStatistics } from '../../reports/disconnected.ts'
import type { ListedSession, McpSession } from '../../reports/session.ts'
import type { SessionHealth } from '../../reports/session-health.ts'
import { McpCall, CallsSummary } from './calls.ts'
import { clientType, count, id, lastDays, maybe, measure, moment, nextPage, page, percent } from './parts.ts'

const status = z.enum(['active', 'idle', 'disconnected'])

const client = z.strictObject({
  session_id: id,
  client_type: clientType,
  client_version: maybe(z.string()),
  connected_at: moment,
  last_activity: moment,
  status: status.describe('Worked out at the moment of asking'),
  disconnected_at: maybe(moment),
  total_duration: maybe(measure).describe('Seconds from connected_at to disconnected_at'),
  disconnect_reason: maybe(z.string()),
  user_id: maybe(id),
  user_email: maybe(z.string()),
  user_name: maybe(z.string()),
})
const listed = client.extend({
  era: maybe(z.enum(['2025-11-25', '2026-07-28'])),
  protocol_version: maybe(z.string()),
  client_name: maybe(z.string()).describe('What the client calls itself'),
  timeout_seconds: count,
})
const whole = listed.extend({
  client_capabilities: maybe(z.record(z.string(), z.unknown())),
  metadata: maybe(z.record(z.string(), z.unknown())).describe('What the client said of itself'),
})

export const Client = client.meta({ id: 'McpClient' }) satisfies z.ZodType<McpClient>
export const Listed = listed.meta({ id: 'ListedSession' }) satisfies z.ZodType<ListedSession>
export const Session = whole.meta({ id: 'McpSession' }) satisfies z.ZodType<McpSession>
const Ended = listed
  .extend({ total_requests: count })
  .meta({ id: 'DisconnectedSession' }) satisfies z.ZodType<DisconnectedSession>

export const ClientList = z.strictObject({ clients: z.array(Client), ...page })
export const SessionsOfUser = z.strictObject({ sessions: z.array(Listed), ...page })
export const SessionList = z.strictObject({
  active_sessions: count.describe('Those that live, idle ones among them'),
  session_timeout: count.describe('Seconds without a call'),
  server_uptime_seconds: maybe(count),
  sessions: z.array(Listed),
  ...page,
})

export const DisconnectedList = z.strictObject({
  sessions: z.array(Ended),
  statistics: z.strictObject({
    total_disconnected: count,
    disconnect_reasons: z.record(z.string(), count),
    avg_duration_seconds: measure,
    max_duration_seconds: measure,
    min_duration_seconds: measure,
  }) satisfies z.ZodType<DisconnectStatistics>,
  period: lastDays,
  ...nextPage,
})

export const OneSession = z.strictObject({
  session: Session,
  requests: maybe(z.array(McpCall)).describe(
    'Its calls, newest first; left out where the caller may not read them',
  ),
  summary: CallsSummary,
  ...nextPage,
})

export const Health = z.strictObject({
  status_breakdown: z.strictObject({ active: count, idle: count, disconnected: count, total: count }),
  age_distribution: z
    .strictObject({ healthy: count, aging: count, stale: count })
    .describe('Live sessions by the time since their last call: less than 5 minutes, up to 10, longer'),
  connection_health: z
    .strictObject({
      avg_duration_seconds: measure,
      sessions_per_hour: measure,
      disconnect_rate_percent: percent,
      total_sessions_24h: count,
    })
    .describe('Of the sessions that connected in the last 24 hours'),
  recent_activity: z.array(
    z.strictObject({
      session_id: z.string().describe('Its first 8 characters'),
      client_type: clientType,
      status,
      age_minutes: measure,
      uptime_minutes: measure,
    }),
  ),
  timestamp: moment,
}) satisfies z.ZodType<SessionHealth>
