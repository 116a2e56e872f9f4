import { GatewayError } from '../errors.ts';
import type { FhirVersion } from '../fhir/version.ts';
import type { AlarmKind } from '../metrics.ts';
import type { UpstreamAnswer } from '../upstream/forward.ts';
import { contentTypeOf } from './answer-body.ts';
import type { AnswerOptions } from './answer-options.ts';
import type { RequestRecord } from './record.ts';
import { plainXml, XML_FAULTS, type ExpectedXml } from './xml.ts';

// Names of older FHIR, and the general ones that STU3 servers answer with.
const STU3_TYPES: ReadonlySet<string> = new Set(['application/xml+fhir', 'application/xml', 'text/xml']);

/** @throws GatewayError `upstream_failed` for anything that is not called FHIR XML in UTF-8 */
export function insistOnXml(answer: Pick<UpstreamAnswer, 'headers'>, version: FhirVersion): void {
  const { type, isUtf8 } = contentTypeOf(answer);
  if (isUtf8 && (type === 'application/fhir+xml' || (version === 'STU3' && STU3_TYPES.has(type)))) return;
  throw new GatewayError('upstream_failed', 'the FHIR server answered with another format', { reason: 'upstream_not_xml' });
}

/** XML on its way out. */
export interface XmlStream {
  readonly stream: AsyncIterable<Buffer>;
  /** Why it was cut off; undefined as long as it was not. */
  readonly reason: () => string | undefined;
}

/**
 * Begins to pass on a resource in XML: what is wrong with its beginning is a failure as any other, and what is wrong later breaks the stream.
 * What may not leave is an alarm: the server does not keep what `fhir.xml: relative` says of it.
 * @throws GatewayError `upstream_failed` before anything has left
 */
export async function beginXml(
  body: AsyncIterable<Buffer>,
  expected: ExpectedXml,
  record: RequestRecord,
  { metrics, logger }: AnswerOptions,
): Promise<XmlStream> {
  let reason: string | undefined;
  async function* watched(): AsyncIterable<Buffer> {
    try {
      yield* plainXml(body, expected);
    } catch (error) {
      reason = error instanceof GatewayError ? error.options.reason : undefined;
      if (reason !== undefined && XML_FAULTS.has(reason)) {
        const tenant = record.tenant?.id ?? '';
        metrics.alarms.inc({ tenant, kind: 'xml_cut_off' satisfies AlarmKind });
        const { correlationId } = record.received;
        logger.error({ module: 'pep', tenant, correlationId, reason, err: error }, 'an answer in XML was cut off');
      }
      throw error;
    }
  }
  const chunks = watched()[Symbol.asyncIterator]();
  const first = await chunks.next();
  return { stream: resumed(first, chunks), reason: () => reason };
}

async function* resumed(first: IteratorResult<Buffer>, rest: AsyncIterator<Buffer>): AsyncIterable<Buffer> {
  try {
    for (let next = first; next.done !== true; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}
