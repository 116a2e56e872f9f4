import { GatewayError } from '../errors.ts';
import type { AlarmKind, Metrics } from '../metrics.ts';
import type { RequestRecord } from './record.ts';

/** Reasons for which an answer does not leave that tell of a server or a use case on which the gate cannot rely. */
const WITHHELD: ReadonlySet<string> = new Set<AlarmKind>(['answer_unproved', 'filter_failed', 'upstream_other_resource']);

/** Counts the alarm of a failure that is one: where the failure ends, and not where it is thrown. */
export function raise(error: unknown, record: RequestRecord, { alarms }: Pick<Metrics, 'alarms'>): void {
  const kind = error instanceof GatewayError ? error.options.reason : undefined;
  if (kind !== undefined && WITHHELD.has(kind)) alarms.inc({ tenant: record.tenant?.id ?? '', kind });
}
