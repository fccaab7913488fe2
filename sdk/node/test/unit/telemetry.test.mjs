// Trace contexts, with OpenTelemetry itself: what is set when a message is sent is set again where it
// is handled, also behind an await. EKHO_NODE_TOOLS names where OpenTelemetry is installed.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { openTelemetry, readTraceContext, withTraceContext } from '../../dist/esm/telemetry.js';

const tools = process.env.EKHO_NODE_TOOLS ?? new URL('../..', import.meta.url).pathname;
const require = createRequire(`${tools}/package.json`);
const api = require('@opentelemetry/api');
const { AsyncLocalStorageContextManager } = require('@opentelemetry/context-async-hooks');
const { W3CTraceContextPropagator } = require('@opentelemetry/core');

test('a trace goes on in the agent that receives', async () => {
  api.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  api.propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  const telemetry = openTelemetry(api);
  assert.equal(withTraceContext(undefined, telemetry), undefined, 'no trace, no metadata');

  const span = { traceId: '7'.repeat(32), spanId: '8'.repeat(16), traceFlags: 1 };
  const traced = api.trace.setSpanContext(api.context.active(), span);
  const metadata = api.context.with(traced, () => withTraceContext({ a: 1 }, telemetry));
  assert.deepEqual(metadata, { a: 1, traceparent: `00-${span.traceId}-${span.spanId}-01` });
  const own = { traceparent: 'mine' };
  assert.equal(api.context.with(traced, () => withTraceContext(own, telemetry)), own);

  const handle = async () => {
    await new Promise(setImmediate);
    return api.trace.getSpanContext(api.context.active())?.traceId;
  };
  assert.equal(await telemetry.run(readTraceContext(metadata), handle), span.traceId);
  assert.equal(await telemetry.run(readTraceContext(null), handle), undefined);
});

test('what is no trace context is left out', () => {
  const long = 'x'.repeat(8193);
  assert.deepEqual(readTraceContext({ traceparent: '', tracestate: 7, baggage: long }), {});
  assert.deepEqual(readTraceContext('text'), {});
});
