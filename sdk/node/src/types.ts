// What goes over the wire, by the names of docs/agent-api.md. Words that the relay may extend are
// open: a newer relay's word is kept as it came.

import type { ValidationFailure } from './errors.js';
import type { Encryption } from './identity/encrypt.js';
import type { Verification } from './identity/verify.js';

/** A known word, or one of a newer relay. */
export type Open<Word extends string> = Word | (string & Record<never, never>);

export type JsonObject = Record<string, unknown>;

export interface AgentCredentials {
  agentId: string;
  secret: string;
  /** Base URL of the relay, or those of several nodes of one cluster: the client moves on to the next where one fails. */
  relayBaseUrl: string | readonly string[];
  heartbeatIntervalSeconds?: number;
  pollIntervalSeconds?: number;
}

export interface EnrollInput {
  fleet_id: string;
  token: string;
  display_name: string;
  /** `custom` where left out. */
  runtime?: Open<'custom' | 'openclaw' | 'langgraph' | 'autogen'>;
  hostname?: string;
  capabilities?: string[];
  identity_public_key?: string;
}

export interface OperatorKeyEntry {
  key_id: string;
  public_key: string;
  endorsed_by_key_id?: string | null;
  endorsement_sig?: string | null;
}

export interface EnrollResponse {
  agent_id: string;
  /** Shown this once. */
  secret: string;
  relay_base_url: string;
  heartbeat_interval_seconds: number;
  poll_interval_seconds: number;
  policy_profile: string;
  operator_keys: OperatorKeyEntry[];
}

export type MessageType =
  | 'direct'
  | 'broadcast'
  | 'alert'
  | 'handoff'
  | 'claim'
  | 'complete'
  | 'heartbeat'
  | 'control';

export type Priority = 'low' | 'normal' | 'high' | 'urgent';

export interface Recipient {
  kind: 'agent' | 'group' | 'broadcast';
  /** An agent's id or a room's; none for a broadcast. */
  id?: string;
}

export interface SendMessagePayload {
  recipient: Recipient;
  message_type: MessageType;
  priority?: Priority;
  ttl_seconds?: number;
  requires_approval?: boolean;
  body: JsonObject;
  metadata?: JsonObject;
  conversation_id: string;
  /** A fresh one where left out. */
  correlation_id?: string;
  /** Attachments that go with it: the agent's own, or ones that it was sent. */
  attachment_ids?: string[];
  /** Not handed out before this time. Not together with `delay_seconds`. */
  deliver_at?: string;
  delay_seconds?: number;
  /** Encrypts the body end to end, so that only these agents can read it. Not sent as it is. */
  encrypt_for?: string[];
  /** An end-to-end signature; set by the client where it has an identity. */
  agent_sig?: string;
  key_id?: string;
  sig_canonical?: string;
}

export interface SendMessageResult {
  message_id: string;
  /** `stored_at_edge`: an edge node that is cut off keeps it, and forwards it later. */
  status: Open<'queued' | 'stored_at_edge'>;
  queued_at: string;
  deliver_at?: string;
  idempotent_replay?: boolean;
}

/** One message of a batch: what a send of its own would have answered, or why it was refused. */
export type BatchResult =
  | ({ status_code: number; code?: undefined } & SendMessageResult)
  | {
      status_code: number;
      message_id?: undefined;
      code: string;
      error: string | ValidationFailure;
      retry_after_seconds?: number;
    };

export interface DeliveryState {
  delivery_id: string;
  recipient_agent_id: string;
  status: Open<'queued' | 'delivered' | 'acked' | 'expired' | 'dead_lettered' | 'cancelled'>;
  attempts: number;
  last_failure_reason: string | null;
  delivered_at: string | null;
  acked_at: string | null;
  ended_at?: string | null;
}

export interface MessageState {
  message_id: string;
  status: Open<DeliveryState['status'] | 'pending_approval' | 'rejected'>;
  queued_at: string;
  deliver_at: string | null;
  deadline_at: string;
  approval_id: string | null;
  delivery_count: number;
  deliveries: DeliveryState[];
}

export interface CancelResult {
  message_id: string;
  status: string;
  cancelled_deliveries?: number;
}

export interface AttachmentMeta {
  id: string;
  filename: string;
  mime: string;
  size_bytes: number;
}

export interface InboxMessage {
  message_id: string;
  conversation_id: string;
  correlation_id: string;
  sender_agent_id: string;
  sender_kind?: 'agent' | 'operator';
  message_type: Open<MessageType | 'a2a.message' | 'a2a.update'>;
  priority: Open<Priority>;
  body: JsonObject;
  metadata: JsonObject;
  created_at: string;
  deadline_at: string;
  /** How often it was handed out, this time included. */
  attempt?: number;
  tags?: string[];
  attachments?: AttachmentMeta[];
  agent_sig?: string;
  operator_sig?: string;
  key_id?: string;
  sig_canonical?: unknown;
  /** What the client found out about the end-to-end signature. */
  verification: Verification;
  /** Whether the body was encrypted end to end, and what became of that. */
  encryption: Encryption;
}

export interface ControlMessage {
  control_id: string;
  action: Open<
    | 'pause'
    | 'resume'
    | 'quarantine'
    | 'approval.approved'
    | 'approval.rejected'
    | 'approval.expired'
    | 'send.refused'
    | 'send.repeated'
    | 'a2a.task_canceled'
  >;
  reason: string;
  approval_id?: string;
  created_at?: string;
  expires_at?: string | null;
}

export interface InboxQuery {
  /** 1 to 100, default 25. */
  limit?: number;
  /** Long poll: with nothing to hand out, wait up to 60 s for something to come. */
  waitSeconds?: number;
  /** Only these message types; others stay queued. */
  types?: readonly string[];
}

export interface InboxResponse {
  messages: InboxMessage[];
  controls: ControlMessage[];
  /** An edge node that is cut off shows what it knew so long ago; nothing was handed out. */
  view_age_ms?: number;
}

export interface AckInput {
  message_id: string;
  status?: 'received';
  received_at?: string;
}

export interface NackInput {
  message_id: string;
  delay_seconds?: number;
  reason?: string;
}

export interface LeaseInput {
  message_id: string;
  extend_seconds: number;
}

export interface LeasesResult {
  updated: number;
  leases: { message_id: string; lease_expires_at: string }[];
}

export interface HeartbeatPayload {
  status: 'healthy' | 'degraded' | 'busy' | 'idle';
  active_conversation_ids?: string[];
  metrics?: JsonObject;
}

export interface HeartbeatResult {
  ok: boolean;
  next_heartbeat_due_seconds: number;
}

export type RiskLevel = 'low' | 'medium' | 'high' | 'critical';

export interface ProposeActionPayload {
  conversation_id: string;
  action_type: string;
  summary: string;
  risk_level: RiskLevel;
  payload?: JsonObject;
}

export type ActionDecision =
  | { decision: 'allow'; approval_id?: never }
  | { decision: 'deny'; approval_id?: never }
  | { decision: 'pending_approval'; approval_id: string };

export interface ApprovalStatus {
  id: string;
  status: Open<
    | 'pending'
    | 'pending_approval'
    | 'approved'
    | 'rejected'
    | 'executed'
    | 'cancelled'
    | 'failed'
    | 'expired'
  >;
  action_type: string;
  risk_level: RiskLevel;
  summary: string;
  requested_at: string;
  resolved_at: string | null;
  reason?: string | null;
  expires_at?: string;
}

export interface ActionResultPayload {
  approval_id: string;
  result: 'executed' | 'cancelled' | 'failed';
  completed_at?: string;
  output?: JsonObject;
}

export interface Room {
  id: string;
  name: string;
  created_at: string;
  members: string[];
}

export interface FloorResult {
  granted: boolean;
  holder_agent_id: string;
  expires_at: string;
  conversation_tail: {
    message_id: string;
    sender_agent_id: string;
    message_type: string;
    body: JsonObject;
    created_at: string;
  }[];
}

export interface AttachmentUploadInput {
  filename: string;
  mime: string;
  /** The content, in base64. */
  dataBase64: string;
}

/** The keys that an agent registered, the newest first. */
export interface AgentKeys {
  agent_id: string;
  keys: {
    key_id: string;
    public_key: string;
    registered_at: string;
    current: boolean;
    revoked_at: string | null;
  }[];
}

/** A key that an agent published to be encrypted to. */
export interface EncryptionKeyEntry {
  key_id: string;
  public_key: string;
  signed_by_key_id: string | null;
  signature: string | null;
  published_at: string;
  current: boolean;
  revoked_at: string | null;
}

/** The keys that an agent published to be encrypted to, the one published last first. */
export interface AgentEncryptionKeys {
  agent_id: string;
  keys: EncryptionKeyEntry[];
}

/** The operators' keys that are trusted now, and what was revoked of operators and agents. */
export interface OperatorKeys {
  fleet_id: string;
  operator_keys: OperatorKeyEntry[];
  revoked: { key_id: string; revoked_at: string }[];
}

export interface PageQuery {
  /** 1 to 100, default 20. */
  limit?: number;
  /** The `next_cursor` of an answer, to go on behind it. */
  cursor?: string;
}

export interface Peers {
  agents: {
    id: string;
    display_name: string;
    runtime: string;
    capabilities: string[];
    status: Open<'healthy' | 'degraded' | 'paused' | 'quarantined'>;
  }[];
  next_cursor: string | null;
}

/** What was said in a conversation. */
export interface Said {
  messages: {
    message_id: string;
    sender_agent_id: string;
    sender_kind: 'agent' | 'operator';
    recipient_kind: Recipient['kind'];
    recipient_id: string | null;
    message_type: string;
    correlation_id: string;
    body: JsonObject;
    created_at: string;
  }[];
  next_cursor: string | null;
}

export interface RotateResult {
  /** Shown this once. */
  secret: string;
  credential_id: string;
  previous_valid_until: string;
}

export interface AgentCard {
  name?: string;
  description?: string;
  version?: string;
  provider?: JsonObject;
  documentationUrl?: string;
  iconUrl?: string;
  defaultInputModes?: string[];
  defaultOutputModes?: string[];
  skills?: { id: string; name: string; description: string; tags: string[] }[];
}
