// A message as it goes over the wire: what was left out is filled in, its trace context is put into
// the metadata, it is encrypted and signed end to end. Done once for all tries, which must be the same bytes.

import { encryptBody } from './identity/encrypt.js';
import { signMessage } from './identity/envelope.js';
import type { Settings } from './options.js';
import type { ReaderKeys } from './readers.js';
import { withTraceContext } from './telemetry.js';
import type { SendMessagePayload } from './types.js';

/**
 * A caller's own key may come again in a later run, and the relay wants the same bytes with it then:
 * with one, nothing is added that would be different the next time.
 */
export async function prepareMessage(
  payload: SendMessagePayload,
  ownKey: string | undefined,
  agentId: string,
  settings: Settings,
  readerKeys: ReaderKeys,
): Promise<{ message: SendMessagePayload; key: string }> {
  const key = ownKey ?? crypto.randomUUID();
  const message: SendMessagePayload & { correlation_id: string } = {
    ...payload,
    correlation_id: payload.correlation_id ?? key,
  };
  if (ownKey === undefined) {
    const metadata = withTraceContext(payload.metadata, settings.telemetry);
    if (metadata) message.metadata = metadata;
  }
  const sealed = await readerKeys.of(payload);
  delete message.encrypt_for;
  if (sealed) {
    // What is signed is what is sent, so that it can be checked by who cannot read it.
    message.body = await encryptBody(message, agentId, sealed.own, sealed.readers, ownKey);
  }
  const { identity, fleetId } = settings;
  if (identity && fleetId && message.agent_sig === undefined) {
    Object.assign(message, await signMessage(message, { fleetId, agentId, identity }, key));
  }
  return { message, key };
}
