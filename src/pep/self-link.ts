import { isJsonArray, isJsonObject, type JsonValue } from '../fhir/json.ts';
import { printReference } from '../fhir/reference.ts';
import { isId } from '../fhir/version.ts';
import type { PermitVerdict } from '../pdp/decide.ts';
import type { Proof } from '../pdp/narrow.ts';
import { resourceAtEnd } from '../upstream/bundle.ts';

/**
 * What the server says that it has searched for. Some ignore a parameter that they do not know, and say so only by leaving it out here (attack cases X11, Q48).
 * Only a search by GET is told so: by POST, the link has no parameters on some servers (real-servers.md §1.5).
 *
 * The host says nothing, in the link and in a reference that it has: servers call themselves as they like (real-servers.md §1.6), and that an entry shows its
 * proof is looked at in the entry.
 *
 * @returns `absent` where there is no such link; `lacking` when one of the parameters is not in it, in meaning
 */
export function selfLinkSays(links: JsonValue | undefined, { proofs, rule }: SelfLinkOf): 'proved' | 'absent' | 'lacking' {
  const url = isJsonArray(links) ? links.filter(isJsonObject).find(({ relation }) => relation === 'self')?.['url'] : undefined;
  if (typeof url !== 'string') return 'absent';
  // Of a server's link only the meaning counts: it is decoded as any server's would be.
  const said = [...new URLSearchParams(/\?([^#]*)/.exec(url)?.[1] ?? '')];
  const aliases = rule.patient?.from === 'parameter' ? rule.patient.parameters : [];
  const isProved = proofs.every((proof) => {
    const { parameter } = proof;
    if (parameter === undefined) return true;
    const names = aliases.includes(parameter) ? aliases : [parameter];
    return said.some(([key, value]) => names.some((name) => means(key, value, name, proof)));
  });
  return isProved ? 'proved' : 'lacking';
}

/** What of a permit the link is held against. */
type SelfLinkOf = Pick<PermitVerdict, 'proofs'> & { readonly rule: Pick<PermitVerdict['rule'], 'patient'> };

/** `subject=Patient/1`, `subject=1` and `subject:Patient=1` are one; any other modifier means something else. */
function means(key: string, value: string, name: string, { values }: Proof): boolean {
  const type = key.startsWith(`${name}:`) ? key.slice(name.length + 1) : undefined;
  if (type === undefined ? key !== name : !/^[A-Z][A-Za-z]*$/.test(type)) return false;
  return value.split(',').every((each) => values.some((wanted) => isSame(each, wanted, type)));
}

function isSame(said: string, wanted: string, type: string | undefined): boolean {
  if (type !== undefined && !wanted.startsWith(`${type}/`)) return false;
  if (said === wanted) return true;
  const named = said.includes('|') ? undefined : resourceAtEnd(said);
  if (named !== undefined) return printReference(named) === wanted;
  return isId(said) && wanted.endsWith(`/${said}`);
}
