import * as z from 'zod'
import type { AuditLine } from '../../reports/audit.ts'
import { id, maybe, moment, page } from './parts.ts'

const Line = z
  .strictObject({
    audit_id: id,
    at: moment,
    actor: z.enum(['user', 'service', 'cli']),
    actor_id: maybe(z.string()),
    action: z.string(),
    target_kind: maybe(z.string()),
    target_id: maybe(z.string()),
    details: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'AuditLine' }) satisfies z.ZodType<AuditLine>

export const AuditPage = z.strictObject({ audit: z.array(Line), ...page })
