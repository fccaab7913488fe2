// How long a test waits for what has to come: long enough for two cores that do much else. Only what
// does not come takes as long.
export const WAIT_MS = 60_000;
