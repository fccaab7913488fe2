// OpenTelemetry context in a message's metadata: `traceparent`, `tracestate` and `baggage` as W3C
// headers have them, so that a trace goes on in the agent that receives it.

import { isObject } from './errors.js';
import type { JsonObject } from './types.js';

/** Puts a context into messages, and runs handlers in the context that a message brought. */
export interface Telemetry {
  inject(carrier: Record<string, string>): void;
  run<T>(carrier: Record<string, string>, handle: () => T): T;
}

/** What is used of `@opentelemetry/api`, so that this package need not depend on it. */
export interface OpenTelemetryApi<Context> {
  context: { active(): Context; with<T>(context: Context, run: () => T): T };
  propagation: {
    inject(context: Context, carrier: Record<string, string>): void;
    extract(context: Context, carrier: Record<string, string>): Context;
  };
}

const FIELDS = ['traceparent', 'tracestate', 'baggage'] as const;
const MAX_FIELD_CHARS = 8192;

/** `openTelemetry(await import('@opentelemetry/api'))` is what the client and the adapter take. */
export function openTelemetry<Context>(api: OpenTelemetryApi<Context>): Telemetry {
  return {
    inject: (carrier) => api.propagation.inject(api.context.active(), carrier),
    run: (carrier, handle) =>
      api.context.with(api.propagation.extract(api.context.active(), carrier), handle),
  };
}

/** The metadata with the context of now; what stands there already is left alone. */
export function withTraceContext(
  metadata: JsonObject | undefined,
  telemetry: Telemetry | undefined,
): JsonObject | undefined {
  if (!telemetry || metadata?.['traceparent'] !== undefined) return metadata;
  const carrier: Record<string, string> = {};
  telemetry.inject(carrier);
  const fields = readTraceContext(carrier);
  return Object.keys(fields).length === 0 ? metadata : { ...metadata, ...fields };
}

/** The context that a message's metadata holds; empty where it holds none. */
export function readTraceContext(metadata: unknown): Record<string, string> {
  const found: Record<string, string> = {};
  if (!isObject(metadata)) return found;
  for (const field of FIELDS) {
    const value = metadata[field];
    if (typeof value === 'string' && value !== '' && value.length <= MAX_FIELD_CHARS) {
      found[field] = value;
    }
  }
  return found;
}
