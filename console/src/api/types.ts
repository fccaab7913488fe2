// Short names for the shapes of the API. All of them are generated; nothing is declared here.
import type { components, operations } from './schema';

type Schemas = components['schemas'];
/** What a list's query takes. */
export type QueryOf<Name extends keyof operations> = NonNullable<operations[Name]['parameters']['query']>;

export type Activity = Schemas['Activity'];
export type Agent = Schemas['AgentView'];
export type AgentStatus = Agent['status'];
export type AgentMessage = Schemas['AgentMessageView'];
export type AnalyticsPoint = Schemas['AnalyticsPoint'];
export type Approval = Schemas['ApprovalView'];
export type A2aClient = Schemas['A2aClientView'];
export type A2aRemote = Schemas['A2aRemoteView'];
export type A2aPush = Schemas['A2aPushView'];
export type AttachmentSettings = Schemas['AttachmentSettings'];
export type BoundAttachment = Schemas['BoundAttachment'];
export type Cluster = Schemas['ClusterView'];
export type ClusterNode = Schemas['NodeView'];
export type Conversation = Schemas['ConversationView'];
export type DeadLetter = Schemas['LetterView'];
export type Delivery = Schemas['DeliveryView'];
export type Edge = Schemas['EdgeView'];
export type Event = Schemas['EventView'];
export type Fleet = Schemas['FleetView'];
export type Hook = Schemas['HookView'];
export type License = Schemas['LicenseView'];
export type Me = Schemas['Me'];
export type Message = Schemas['MessageView'];
export type MessageDetail = Schemas['MessageDetail'];
export type MessageHead = Schemas['MessageHead'];
export type Operator = Schemas['OperatorView'];
export type Overview = Schemas['Overview'];
export type Policy = Schemas['PolicyView'];
export type PolicyDraft = Schemas['PolicyDraft'];
export type Preview = Schemas['Preview'];
export type Role = Operator['role'];
export type Room = Schemas['RoomView'];
export type Rule = Schemas['Rule'];
export type Scope = Me['scopes'][number];
export type Session = Schemas['SessionView'];
export type Settings = Schemas['Settings'];
export type Span = Schemas['SpanView'];
export type TimelineItem = Schemas['ItemView'];
