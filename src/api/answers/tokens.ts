import * as z from 'zod'
import type { McpAccessToken } from '../../reports/access-tokens.ts'
import { id, maybe, moment, page } from './parts.ts'

const token = {
  token_id: id,
  name: z.string(),
  user_id: maybe(id),
  service: maybe(z.string()).describe('The program whose it is, where it is no user’s'),
  scopes: z.array(z.string()),
  status: z
    .enum(['live', 'expired', 'revoked'])
    .describe('Revoked also where its user was cut off or blocked'),
  created_at: moment,
  created_by: maybe(id),
  expires_at: moment,
  last_used_at: maybe(moment).describe('Exact to five minutes'),
  revoked_at: maybe(moment),
}
const AccessToken = z.strictObject(token).meta({ id: 'AccessToken' }) satisfies z.ZodType<McpAccessToken>

export const AccessTokenPage = z.strictObject({ tokens: z.array(AccessToken), ...page })
export const NewAccessToken = z.strictObject({
  ...token,
  token: z.string().describe('The secret. It is told this once'),
})
