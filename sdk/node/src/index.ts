// The Node client of the Ekho relay. docs/sdks.md shows what it does, docs/agent-api.md the calls.

export { EkhoAgentAdapter, type AdapterStatus } from './adapter/adapter.js';
export type { AdapterHooks, AdapterOptions, MessageContext, StopReport } from './adapter/hooks.js';
export type { Downloaded } from './attachments.js';
export type { CallOptions } from './caller.js';
export { EkhoAgentClient, type SendOptions } from './client.js';
export {
  EkhoActionError,
  EkhoArgumentError,
  EkhoConnectionError,
  EkhoEncryptionError,
  EkhoError,
  EkhoRequestError,
  isTransient,
  type ValidationFailure,
} from './errors.js';
export * from './identity/index.js';
export type { ClientOptions } from './options.js';
export { DEFAULT_RETRY, type RetryPolicy } from './retry.js';
export { canonicalRequest, type SignatureHeaders, Signer } from './signing.js';
export type { StreamEvent, StreamQuery } from './stream.js';
export { EkhoTask, type Artifact, type TaskMessage, type TaskStanding, type TaskState } from './tasks.js';
export { type OpenTelemetryApi, openTelemetry, type Telemetry } from './telemetry.js';
export type { FetchLike } from './transport.js';
export type * from './types.js';
export { VERSION } from './version.js';
