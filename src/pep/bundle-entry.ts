import { STATUS_CODES } from 'node:http';
import type { BundleEntry } from '../fhir/bundle.ts';
import type { RequestRecord } from './record.ts';
import type { Authenticated } from './stages.ts';

/** One entry on its way: the request that it would be alone, with a record of its own. */
export interface EntryRequest {
  readonly entry: BundleEntry;
  readonly authenticated: Authenticated;
  readonly record: RequestRecord;
}

/** `403 Forbidden`, as FHIR has it in a Bundle. */
export function statusText(status: number): string {
  return `${String(status)} ${STATUS_CODES[status] ?? ''}`.trimEnd();
}
