// A2A tasks: what a client asked this agent for, and how the agent answers. A message of type
// `a2a.message` in the inbox belongs to a task; acking it says that the agent works on it.

import { EkhoArgumentError, EkhoRequestError } from './errors.js';
import type { CallOptions } from './caller.js';
import type { JsonObject } from './types.js';

export type TaskState =
  | 'working'
  | 'input-required'
  | 'auth-required'
  | 'completed'
  | 'failed'
  | 'canceled'
  | 'rejected';

export interface TaskStanding {
  task_id: string;
  state: string;
}

/** A text, or a `Message` of A2A 1.0 without what the relay knows. */
export type TaskMessage = string | JsonObject;

/** An `Artifact` of A2A 1.0; the relay gives it an id where it has none. */
export interface Artifact {
  artifactId?: string;
  name?: string;
  description?: string;
  parts: JsonObject[];
  metadata?: JsonObject;
  extensions?: string[];
}

/** How a task reaches the relay; a client's own calls. */
export interface TaskCalls {
  call<T>(
    method: 'GET' | 'POST',
    target: string,
    body: unknown,
    repeat: 'harmless' | 'only_if_undone',
    options?: CallOptions,
  ): Promise<T>;
}

/** A task of this agent. */
export class EkhoTask {
  readonly id: string;
  readonly #calls: TaskCalls;

  constructor(calls: TaskCalls, id: string) {
    if (id === '' || id === '.' || id === '..') throw new EkhoArgumentError('no task id');
    this.#calls = calls;
    this.id = id;
  }

  /** A `Task` of A2A 1.0 with its history and artifacts. */
  get(options?: CallOptions): Promise<JsonObject> {
    return this.#calls.call('GET', this.#target(''), undefined, 'harmless', options);
  }

  /** The agent works on it. */
  working(message?: TaskMessage, options?: CallOptions): Promise<TaskStanding> {
    return this.setState('working', message, options);
  }

  /** The agent needs something from the client, who answers with a further message. */
  requireInput(message: TaskMessage, options?: CallOptions): Promise<TaskStanding> {
    return this.setState('input-required', message, options);
  }

  /** The task is done. */
  complete(message?: TaskMessage, options?: CallOptions): Promise<TaskStanding> {
    return this.setState('completed', message, options);
  }

  /** The task could not be done. */
  fail(message?: TaskMessage, options?: CallOptions): Promise<TaskStanding> {
    return this.setState('failed', message, options);
  }

  /** The agent does not do such a thing. */
  reject(message?: TaskMessage, options?: CallOptions): Promise<TaskStanding> {
    return this.setState('rejected', message, options);
  }

  /**
   * Out of completed, failed, canceled and rejected nothing leads: 409 `conflict`. To end a task
   * again as it ended is a success, so that a try whose answer was lost can be repeated.
   */
  async setState(
    state: TaskState,
    message?: TaskMessage,
    options?: CallOptions,
  ): Promise<TaskStanding> {
    const body = message === undefined ? { state } : { state, message };
    try {
      return await this.#calls.call('POST', this.#target('/status'), body, 'harmless', options);
    } catch (error) {
      if (!(error instanceof EkhoRequestError) || error.field('state') !== state) throw error;
      return { task_id: this.id, state };
    }
  }

  /** Gives the client a result, in place of one with the same id. A text is one part of text. */
  artifact(
    artifact: Artifact | string,
    options: CallOptions & { lastChunk?: boolean } = {},
  ): Promise<TaskStanding> {
    return this.#putArtifact(artifact, false, options);
  }

  /** Adds parts to the artifact of this id, which must be there. */
  appendArtifact(
    artifact: Artifact & { artifactId: string },
    options: CallOptions & { lastChunk?: boolean } = {},
  ): Promise<TaskStanding> {
    return this.#putArtifact(artifact, true, options);
  }

  #putArtifact(
    artifact: Artifact | string,
    append: boolean,
    options: CallOptions & { lastChunk?: boolean },
  ): Promise<TaskStanding> {
    const given = typeof artifact === 'string' ? { parts: [{ text: artifact }] } : artifact;
    const body = { artifact: given, append, last_chunk: options.lastChunk ?? false };
    const replaces = !append && given.artifactId !== undefined;
    const repeat = replaces ? 'harmless' : 'only_if_undone';
    return this.#calls.call('POST', this.#target('/artifacts'), body, repeat, options);
  }

  #target(rest: string): string {
    return `/v1/tasks/${encodeURIComponent(this.id)}${rest}`;
  }
}
