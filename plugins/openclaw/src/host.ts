// What this plugin uses of OpenClaw's plugin API, declared here so that it neither depends on OpenClaw
// to be built nor imports anything of it when it runs.

export interface ToolResult {
  content: { type: 'text'; text: string }[];
  details: unknown;
}

export interface Tool {
  name: string;
  label: string;
  description: string;
  /** JSON Schema. */
  parameters: Record<string, unknown>;
  execute(
    toolCallId: string,
    params: Record<string, unknown>,
    signal?: AbortSignal,
  ): Promise<ToolResult>;
}

export interface Service {
  id: string;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface Host {
  pluginConfig?: unknown;
  logger?: { warn(text: string): void };
  registerTool(tool: Tool): void;
  registerService?(service: Service): void;
}

export function answer(details: Record<string, unknown>): ToolResult {
  return { content: [{ type: 'text', text: JSON.stringify(details) }], details };
}
