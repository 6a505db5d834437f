import { isUuid, uuidV5 } from '../uuid.ts'

/** Our own namespace for RFC 9562 section 5.5; changing it would rename every user. */
const NAMESPACE = '6f1d9a3e-5b0c-4d57-9c1e-2a7b8e40c3d5'

/**
 * The ids a user may get at first sight: a subject that is a UUID as it is, lower-cased (Supabase); any other, and
 * one whose UUID somebody else already holds, UUIDv5 of issuer and subject.
 */
export async function identityIds(
  issuer: string,
  subject: string,
): Promise<{ firstId: string; fallbackId: string }> {
  // As JSON, so that no issuer can end where another's subject begins.
  const fallbackId = await uuidV5(NAMESPACE, JSON.stringify([issuer, subject]))
  return { firstId: isUuid(subject) ? subject.toLowerCase() : fallbackId, fallbackId }
}
