/**
 * Whether a `Prefer` header asks for what was written (RFC 7240 §4.2, http.html#return). Of two preferences for one thing the first counts (RFC 7240 §2);
 * what cannot be read is no preference.
 */
export function prefersRepresentation(header: string | undefined): boolean {
  for (const preference of header?.split(',') ?? []) {
    const [said = ''] = preference.split(';');
    const [name = '', value = ''] = said.split('=').map((part) => part.trim().toLowerCase());
    if (name === 'return') return value === 'representation' || value === '"representation"';
  }
  return false;
}
