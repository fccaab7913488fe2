// What an address says after its `?`, read into types. Whatever does not fit is left out, so that
// an old or mistyped link still opens its page.

type Raw = Record<string, unknown>;

/** Any text; ids that look like numbers come as numbers. */
export function word(raw: Raw, name: string): string | undefined {
  const value = raw[name];
  if (typeof value === 'number') return String(value);
  return typeof value === 'string' && value !== '' ? value : undefined;
}

export function oneOf<Value extends string>(
  raw: Raw,
  name: string,
  allowed: readonly Value[],
): Value | undefined {
  const value = raw[name];
  return allowed.find((one) => one === value);
}

export function numberOf<Value extends number>(
  raw: Raw,
  name: string,
  allowed: readonly Value[],
): Value | undefined {
  const value = Number(raw[name]);
  return allowed.find((one) => one === value);
}

export function flag(raw: Raw, name: string): true | undefined {
  return raw[name] === true || raw[name] === 'true' ? true : undefined;
}

/** A moment, as ISO 8601 in UTC. */
export function moment(raw: Raw, name: string): string | undefined {
  const value = raw[name];
  if (typeof value !== 'string' || Number.isNaN(Date.parse(value))) return undefined;
  return new Date(value).toISOString();
}

/** Without what is empty, so that addresses stay short. */
export function compact<Search extends Raw>(
  search: Search,
): { [Name in keyof Search]?: Exclude<Search[Name], undefined> } {
  const kept = Object.entries(search).filter(([, value]) => value !== undefined && value !== '');
  return Object.fromEntries(kept) as { [Name in keyof Search]?: Exclude<Search[Name], undefined> };
}
