// JSON Canonicalization Scheme (RFC 8785): the one text of a JSON value that every language agrees
// on, whatever the order of keys, the spaces and the way numbers were written.

import { EkhoArgumentError } from '../errors.js';

/** As deep as the relay lets JSON be. */
const MAX_DEPTH = 100;

export function canonicalJson(value: unknown, depth = 0): string {
  if (depth > MAX_DEPTH) throw new EkhoArgumentError('JSON nested too deeply to be signed');
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') {
    if (/\p{Surrogate}/u.test(value)) {
      throw new EkhoArgumentError('half a surrogate pair cannot be signed');
    }
    return JSON.stringify(value);
  }
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new EkhoArgumentError(`${value} cannot be signed`);
    // ECMAScript's own way to write numbers is the one that the scheme prescribes.
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) {
    return `[${value.map((item: unknown) => canonicalJson(item ?? null, depth + 1)).join(',')}]`;
  }
  if (typeof value === 'object') {
    if ('toJSON' in value && typeof value.toJSON === 'function') {
      return canonicalJson(value.toJSON(), depth + 1);
    }
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      // By UTF-16 code units, which is how JavaScript compares texts.
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(
        ([key, member]) => `${canonicalJson(key, depth + 1)}:${canonicalJson(member, depth + 1)}`,
      );
    return `{${members.join(',')}}`;
  }
  throw new EkhoArgumentError(`a ${typeof value} is not JSON`);
}
