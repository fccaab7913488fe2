// The English texts, one file a subject.
export * from './a2a';
export * from './cluster';
export * from './common';
export * from './decide';
export * from './events';
export * from './relay';
export * from './session';
export * from './traffic';
export * from './watch';
