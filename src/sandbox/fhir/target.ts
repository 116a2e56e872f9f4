/**
 * The segments of a request path as this server reads them, or `undefined` for what a servlet container already refuses: encoded
 * slashes and backslashes, NUL, a broken percent sign. `lenient`, as real servers: empty segments are skipped, and the third and later
 * segments (ids, below `/fhir/Type/`) are percent-decoded a second time. Dot segments are not resolved.
 */
export function parsePath(path: string, lenient: boolean): readonly string[] | undefined {
  if (!path.startsWith('/') || /%2f|%5c|%00|\\/i.test(path)) return undefined;
  const raw = path.slice(1).split('/');
  const kept = lenient ? raw.filter((segment) => segment !== '') : raw[raw.length - 1] === '' ? raw.slice(0, -1) : raw;
  const decoded: string[] = [];
  for (const [index, segment] of kept.entries()) {
    const once = decode(segment);
    if (once === undefined) return undefined;
    const plain = once.startsWith('$') || once.startsWith('_');
    decoded.push(lenient && index >= 2 && !plain ? (decode(once) ?? once) : once);
  }
  return decoded;
}

function decode(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}
