// Values in scenarios: names filled in, and what an answer has to be like (sdk/scenarios/README.md).

/** `${name.path.0}`: as the whole text it is the value itself, within a text it is written into it. */
export function fill(value, known) {
  if (typeof value === 'string') {
    const whole = /^\$\{([^}]+)\}$/.exec(value);
    if (whole) return lookUp(whole[1], known);
    return value.replace(/\$\{([^}]+)\}/g, (_, path) => String(lookUp(path, known)));
  }
  if (Array.isArray(value)) return value.map((item) => fill(item, known));
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fill(item, known)]));
  }
  return value;
}

function lookUp(path, known) {
  const found = path.split('.').reduce((at, name) => at?.[name], known);
  if (found === undefined) throw new Error(`nothing is known as ${path}`);
  return found;
}

/** The first difference in words; undefined where the value is as expected. */
export function mismatch(expected, value, at) {
  if (expected === null || typeof expected !== 'object') {
    return Object.is(expected, value) ? undefined : `${at} is not ${JSON.stringify(expected)}`;
  }
  if (Array.isArray(expected)) {
    if (!Array.isArray(value) || value.length !== expected.length) {
      return `${at} has not ${expected.length} items`;
    }
    return first(expected.map((item, index) => mismatch(item, value[index], `${at}.${index}`)));
  }
  if ('$present' in expected) {
    return value !== undefined && value !== null ? undefined : `${at} is missing`;
  }
  if ('$length' in expected) {
    return value?.length === expected.$length ? undefined : `${at} has not ${expected.$length} items`;
  }
  if ('$text' in expected) {
    const holds = typeof value === 'string' && value.includes(expected.$text);
    return holds ? undefined : `${at} does not hold ${expected.$text}`;
  }
  if ('$any' in expected) {
    const holds = Array.isArray(value) && value.some((item) => !mismatch(expected.$any, item, at));
    return holds ? undefined : `nothing in ${at} is like ${JSON.stringify(expected.$any)}`;
  }
  if (value === null || typeof value !== 'object') return `${at} is no object`;
  return first(
    Object.entries(expected).map(([key, item]) => mismatch(item, value[key], `${at}.${key}`)),
  );
}

function first(differences) {
  return differences.find((difference) => difference !== undefined);
}
