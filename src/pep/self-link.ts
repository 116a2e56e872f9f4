import { isJsonArray, isJsonObject, type JsonValue } from '../fhir/json.ts';
import { localReference } from '../fhir/reference.ts';
import { isId } from '../fhir/version.ts';
import type { PermitVerdict } from '../pdp/decide.ts';
import type { Proof } from '../pdp/narrow.ts';

/**
 * What the server says that it has searched for. Some ignore a parameter that they do not know, and say so only by leaving it out here (attack cases X11, Q48).
 * Only a search by GET is told so: by POST, the link has no parameters on some servers (real-servers.md §1.5).
 *
 * @returns `absent` where there is no such link; `lacking` when one of the parameters is not in it, in meaning
 */
export function selfLinkSays(
  links: JsonValue | undefined,
  { proofs, rule }: PermitVerdict,
  base: string,
): 'proved' | 'absent' | 'lacking' {
  const url = isJsonArray(links) ? links.filter(isJsonObject).find(({ relation }) => relation === 'self')?.['url'] : undefined;
  if (typeof url !== 'string') return 'absent';
  const mark = url.indexOf('?');
  // Of a server's link only the meaning counts: it is decoded as any server's would be.
  const said = new URLSearchParams(mark === -1 ? '' : url.slice(mark + 1));
  const aliases = rule.patient?.from === 'parameter' ? rule.patient.parameters : [];
  const isProved = proofs.every((proof) => {
    if (proof.parameter === undefined) return true;
    const names = aliases.includes(proof.parameter) ? aliases : [proof.parameter];
    return names.some((name) => said.getAll(name).some((value) => means(value, proof, base)));
  });
  return isProved ? 'proved' : 'lacking';
}

function means(value: string, { values }: Proof, base: string): boolean {
  const alternatives = value.split(',');
  return alternatives.length > 0 && alternatives.every((each) => values.some((wanted) => isSame(each, wanted, base)));
}

function isSame(said: string, wanted: string, base: string): boolean {
  if (said === wanted) return true;
  const local = localReference(said, base);
  if (local !== undefined) return `${local.type}/${local.id}` === wanted;
  return isId(said) && wanted.endsWith(`/${said}`);
}
