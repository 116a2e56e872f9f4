import { randomUUID } from 'node:crypto';
import type { Clock } from '../../clock.ts';
import type { FhirVersion } from '../../fhir/version.ts';
import { FhirFailure } from './reply.ts';
import { isObject, localReference, references } from './resource.ts';
import type { Draft, Resource } from './resource.ts';
import type { ResourceStore } from './store.ts';

/**
 * How the server answers `Composition/{id}/$document`:
 * - `complete`: everything that the Composition refers to, sections at every depth, never a Binary (an attachment is no reference);
 * - `shallow`: subject, author and the entries of top-level sections only, without identifier, and 200 with an empty Bundle for a
 *   Composition that does not exist: what real servers have been seen to do;
 * - `none`: the operation is not supported.
 */
export type DocumentMode = 'complete' | 'shallow' | 'none';

export interface DocumentRequest {
  readonly id: string;
  readonly base: string;
  readonly mode: DocumentMode;
  readonly version: FhirVersion;
  readonly clock: Clock;
}

export function assembleDocument(store: ResourceStore, { id, base, mode, version, clock }: DocumentRequest): Draft {
  const composition = store.current('Composition', id)?.resource;
  const bundle = { resourceType: 'Bundle', id: randomUUID(), meta: { lastUpdated: clock.now().toISOString() } };
  switch (mode) {
    case 'none':
      throw new FhirFailure(
        400,
        'not-supported',
        `SIM-0302: This server does not know how to handle GET operation[Composition/${id}/$document]`,
      );
    case 'shallow': {
      const resources = composition === undefined ? [] : [composition, ...resolve(store, shallowReferences(composition))];
      const link = [{ relation: 'self', url: `${base}/Composition/${id}/$document` }];
      return { ...bundle, type: 'document', total: composition === undefined ? 0 : 1, link, entry: entries(resources, base) };
    }
    case 'complete': {
      if (composition === undefined) throw new FhirFailure(404, 'not-found', `SIM-2001: Resource Composition/${id} is not known`);
      const identifier = { system: 'urn:ietf:rfc:3986', value: `urn:uuid:${bundle.id}` };
      const resources = [composition, ...resolve(store, references(composition))];
      const timestamp = version === 'R4' ? { timestamp: bundle.meta.lastUpdated } : {};
      return { ...bundle, identifier, type: 'document', ...timestamp, entry: entries(resources, base) };
    }
  }
}

function shallowReferences(composition: Resource): readonly string[] {
  const sections = Array.isArray(composition['section']) ? composition['section'] : [];
  return [
    ...references(composition['subject']),
    ...references(composition['author']),
    ...sections.flatMap((section: unknown) => (isObject(section) ? references(section['entry']) : [])),
  ];
}

/** The live resources behind references, each once, in the order of the references; what does not resolve is left out. */
function resolve(store: ResourceStore, found: readonly string[]): readonly Resource[] {
  const keys = new Set(found.flatMap((reference) => localReference(reference) ?? []));
  return [...keys].flatMap((key) => {
    const [type = '', id = ''] = key.split('/');
    return type === 'Binary' || type === 'Composition' ? [] : (store.current(type, id)?.resource ?? []);
  });
}

function entries(resources: readonly Resource[], base: string): readonly unknown[] {
  return resources.map((resource) => ({ fullUrl: `${base}/${resource.resourceType}/${resource.id}`, resource }));
}
