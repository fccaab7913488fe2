// The plugin's configuration, and credentials: given, kept from an earlier enrolment, or those of a
// new one. Touches one file, readable by its owner only.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { type AgentCredentials, EkhoAgentClient, EkhoArgumentError } from '@ekho/sdk';

export interface Config {
  relayBaseUrl: string | string[];
  agentId?: string;
  agentSecret?: string;
  fleetId?: string;
  enrollmentToken?: string;
  displayName?: string;
  credentialsPath?: string;
}

export function readConfig(given: unknown): Config {
  const config = (given ?? {}) as Partial<Config>;
  if (!config.relayBaseUrl) throw new EkhoArgumentError('relayBaseUrl is not configured');
  return config as Config;
}

export async function credentialsOf(config: Config): Promise<AgentCredentials> {
  const { relayBaseUrl, agentId, agentSecret } = config;
  if (agentId && agentSecret) return { agentId, secret: agentSecret, relayBaseUrl };
  const path = config.credentialsPath ?? join(homedir(), '.openclaw', 'ekho-credentials.json');
  const kept = await readKept(path);
  if (kept) return { ...kept, relayBaseUrl };
  const { fleetId, enrollmentToken } = config;
  if (!fleetId || !enrollmentToken) {
    throw new EkhoArgumentError('configure agentId and agentSecret, or fleetId and enrollmentToken');
  }
  const enrolled = await EkhoAgentClient.enroll(relayBaseUrl, {
    fleet_id: fleetId,
    token: enrollmentToken,
    display_name: config.displayName ?? 'OpenClaw',
    runtime: 'openclaw',
  });
  const fresh = { agentId: enrolled.agent_id, secret: enrolled.secret };
  await mkdir(dirname(path), { recursive: true });
  // A token is good once: what it gave must not be overwritten.
  await writeFile(path, JSON.stringify(fresh), { mode: 0o600, flag: 'wx' });
  return { ...fresh, relayBaseUrl };
}

async function readKept(path: string): Promise<{ agentId: string; secret: string } | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  const { agentId, secret } = JSON.parse(text) as { agentId?: unknown; secret?: unknown };
  if (typeof agentId !== 'string' || typeof secret !== 'string') {
    throw new EkhoArgumentError(`${path} holds no credentials`);
  }
  return { agentId, secret };
}
