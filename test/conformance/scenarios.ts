/** A revision whose frozen requirements the suite knows. */
export type Revision = '2025-11-25' | '2026-07-28'

const BOTH = [
  'completion-complete',
  'dns-rebinding-protection',
  'prompts-get-embedded-resource',
  'prompts-get-simple',
  'prompts-get-with-args',
  'prompts-get-with-image',
  'prompts-list',
  'resources-list',
  'resources-read-binary',
  'resources-read-text',
  'resources-templates-read',
  'server-sse-multiple-streams',
  'tools-call-audio',
  'tools-call-embedded-resource',
  'tools-call-error',
  'tools-call-image',
  'tools-call-mixed-content',
  'tools-call-simple-text',
  'tools-call-with-progress',
  'tools-list',
]

/** Scenarios of 2025-11-25 in which the server asks its client, on a stream that somebody must hold. */
export const PUSH = [
  'elicitation-sep1034-defaults',
  'elicitation-sep1330-enums',
  'tools-call-elicitation',
  'tools-call-sampling',
]

/** What each revision requires of a server, by name, so that a scenario that is lost is missed. */
export const REQUIRED: Record<Revision, readonly string[]> = {
  '2025-11-25': [
    ...BOTH,
    ...PUSH,
    'logging-set-level',
    'ping',
    'resources-subscribe',
    'resources-unsubscribe',
    'server-initialize',
    'tools-call-with-logging',
  ],
  '2026-07-28': [
    ...BOTH,
    'caching',
    'input-required-result-basic-elicitation',
    'input-required-result-basic-list-roots',
    'input-required-result-basic-sampling',
    'input-required-result-capability-check',
    'input-required-result-ignore-extra-params',
    'input-required-result-missing-input-response',
    'input-required-result-multi-round',
    'input-required-result-multiple-input-requests',
    'input-required-result-non-tool-request',
    'input-required-result-request-state',
    'input-required-result-result-type',
    'input-required-result-tampered-state',
    'input-required-result-unsupported-methods',
    'input-required-result-validate-input',
    'sep-2164-resource-not-found',
    'server-stateless',
  ],
}
