// What an operator's controls amount to. The relay lists those in force, newest first, until they
// expire: the newest decides, and where none is listed any more the agent is free.

import type { ControlMessage } from '../types.js';

export class Controls {
  #listed = new Set<string>();
  #paused = false;

  get paused(): boolean {
    return this.#paused;
  }

  /** Takes the list of the last answer; gives back the controls not seen before, oldest first. */
  update(newestFirst: readonly ControlMessage[]): ControlMessage[] {
    const deciding = newestFirst.find(({ action }) =>
      ['pause', 'quarantine', 'resume'].includes(action),
    );
    this.#paused = deciding !== undefined && deciding.action !== 'resume';
    const before = this.#listed;
    // Only what is still listed has to be remembered, which bounds the set.
    this.#listed = new Set(newestFirst.map(({ control_id }) => control_id));
    return newestFirst.filter(({ control_id }) => !before.has(control_id)).reverse();
  }
}
