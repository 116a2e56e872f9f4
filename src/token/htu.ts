/**
 * One spelling for an address, so that two can be compared as text (RFC 9449 §4.3 (9): syntax- and scheme-based normalisation of RFC 3986 §6.2.2,
 * §6.2.3, without query and fragment). Scheme and host in lower case, no default port, no empty path; escapes in upper case, and none where the gate
 * reads the same without it (`fhir/target.ts`). Dot segments are not resolved: the gate has no such path.
 *
 * @returns undefined for what is no plain absolute http(s) URL
 */
export function normaliseUrl(url: string): string | undefined {
  const match = url.length > MAX_CHARACTERS ? null : ABSOLUTE.exec(url);
  if (match === null) return undefined;
  const [, scheme = '', host = '', port, path = ''] = match;
  const lower = scheme.toLowerCase();
  return `${lower}://${host.toLowerCase()}${portOf(lower, port)}${path === '' ? '/' : normalisePath(path)}`;
}

const MAX_CHARACTERS = 8_192;
// No user information, no white space, no backslash, nothing but ASCII. IPv6 in brackets.
const ABSOLUTE =
  /^(https?):\/\/([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{0,5}))?((?:\/(?:[A-Za-z0-9._~$*!'()+,;=:@&-]|%[0-9A-Fa-f]{2})*)*)(?:[?#][!-~]*)?$/i;
/** Read by the gate as themselves, escaped or not. */
const PLAIN = /[A-Za-z0-9._~$*-]/;

function portOf(scheme: string, port: string | undefined): string {
  if (port === undefined || port === '') return '';
  const number = Number(port);
  return number === (scheme === 'https' ? 443 : 80) ? '' : `:${String(number)}`;
}

function normalisePath(path: string): string {
  return path.replace(/%[0-9A-Fa-f]{2}/g, (escape) => {
    const character = String.fromCharCode(Number.parseInt(escape.slice(1), 16));
    return PLAIN.test(character) ? character : escape.toUpperCase();
  });
}

/**
 * The address that a caller used, as far as it can be known without believing a header: the tenant's configured public URL, and the path below the
 * tenant as it stands in the request line.
 */
export function publicAddress(publicUrl: string, target: string): string {
  const end = target.indexOf('?');
  const path = end === -1 ? target : target.slice(0, end);
  const below = path.indexOf('/', 1);
  return below === -1 ? publicUrl : publicUrl + path.slice(below);
}
