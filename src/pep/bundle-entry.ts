import { STATUS_CODES } from 'node:http';
import { GatewayError } from '../errors.ts';
import type { BundleEntry } from '../fhir/bundle.ts';
import type { RequestRecord } from './record.ts';
import type { Authenticated } from './stages.ts';

/** One entry on its way: the request that it would be alone, with a record of its own. */
export interface EntryRequest {
  readonly entry: BundleEntry;
  readonly authenticated: Authenticated;
  readonly record: RequestRecord;
  /** Why it would be refused alone before anything is judged: a condition that does not fit, a patch in no format that we take. */
  readonly refused?: GatewayError;
}

/** Where an entry stands, as refusals name it. */
export function placeOfEntry(index: number): string {
  return `Bundle.entry[${String(index)}]`;
}

/**
 * A refusal in words of the Bundle.
 * @param rename a field of the request that the entry would be alone, as it is called in the Bundle; undefined for one that is none
 */
export function refusedAt(error: GatewayError, rename: (field: string) => string | undefined): GatewayError {
  const fields = (error.options.fields ?? []).map(({ field, problem }) => {
    const named = field.startsWith('Bundle') ? field : rename(field);
    return named === undefined ? { field, problem } : { field: named, problem };
  });
  const [first] = fields;
  const message = first === undefined ? error.message : `${first.field} ${first.problem}`;
  return new GatewayError(error.code, message, { ...error.options, cause: error, fields });
}

/** `403 Forbidden`, as FHIR has it in a Bundle. */
export function statusText(status: number): string {
  return `${String(status)} ${STATUS_CODES[status] ?? ''}`.trimEnd();
}
