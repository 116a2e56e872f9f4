import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../clock.ts';
import { localReference, references } from './resource.ts';
import type { Draft, Resource } from './resource.ts';

/** One version of a resource; without `resource` it is the mark of a deletion. */
export interface Version {
  readonly type: string;
  readonly id: string;
  /** From 1. */
  readonly number: number;
  /** ISO 8601 in milliseconds, UTC. */
  readonly lastUpdated: string;
  readonly method: 'POST' | 'PUT' | 'DELETE';
  readonly resource?: Resource;
}

export interface Written {
  readonly version: Version;
  /** `unchanged`: identical content, no new version. */
  readonly outcome: 'created' | 'updated' | 'unchanged';
}

/** Resources in memory with all their versions. Every call is synchronous, so that two writers never interleave. */
export interface ResourceStore {
  /** The newest version, which may be a deletion; `undefined` when there never was one. */
  current(type: string, id: string): Version | undefined;
  /** Newest first; empty when there never was one. */
  history(type: string, id: string): readonly Version[];
  /** All versions of all resources of a type (or of all types), newest first. */
  allVersions(type?: string): readonly Version[];
  /** Writes under `id`, whatever the draft's own id; `meta.versionId` and `meta.lastUpdated` are the store's. */
  write(draft: Draft | Resource, id: string, method: 'POST' | 'PUT'): Written;
  /** Marks as deleted; `undefined` when there is nothing to delete. */
  remove(type: string, id: string): Version | undefined;
  /** What is not deleted, in the order of first writing. */
  live(type?: string): readonly Resource[];
  /** The first live resource with a literal reference to this one. */
  referrer(type: string, id: string): Resource | undefined;
  /** Runs `work`; when it throws, everything it wrote is undone. */
  transaction<T>(work: () => T): T;
}

export function createResourceStore(clock: Clock): ResourceStore {
  let versions = new Map<string, readonly Version[]>();

  const append = (version: Version): Version => {
    const key = `${version.type}/${version.id}`;
    versions.set(key, [version, ...(versions.get(key) ?? [])]);
    return version;
  };
  const current = (type: string, id: string): Version | undefined => versions.get(`${type}/${id}`)?.[0];
  const live = (type?: string): readonly Resource[] =>
    [...versions.values()].flatMap(([newest]) =>
      newest?.resource !== undefined && (type === undefined || newest.type === type) ? [newest.resource] : [],
    );

  return {
    current,
    live,
    history: (type, id) => versions.get(`${type}/${id}`) ?? [],

    allVersions: (type) =>
      [...versions.values()]
        .flat()
        .filter((version) => type === undefined || version.type === type)
        .sort((one, other) => other.lastUpdated.localeCompare(one.lastUpdated)),

    write(draft, id, method) {
      const type = draft.resourceType;
      const before = current(type, id);
      if (before?.resource !== undefined && isDeepStrictEqual(content(before.resource), content({ ...draft, id }))) {
        return { version: before, outcome: 'unchanged' };
      }
      const number = (before?.number ?? 0) + 1;
      const lastUpdated = clock.now().toISOString();
      const { resourceType, id: _id, meta, ...elements } = draft;
      const resource: Resource = { resourceType, id, meta: { ...meta, versionId: String(number), lastUpdated }, ...elements };
      const version = append({ type, id, number, lastUpdated, method, resource });
      return { version, outcome: before?.resource === undefined ? 'created' : 'updated' };
    },

    remove(type, id) {
      const before = current(type, id);
      if (before?.resource === undefined) return undefined;
      return append({ type, id, number: before.number + 1, lastUpdated: clock.now().toISOString(), method: 'DELETE' });
    },

    referrer: (type, id) =>
      live().find(
        (resource) =>
          !(resource.resourceType === type && resource.id === id) &&
          references(resource).some((reference) => localReference(reference) === `${type}/${id}`),
      ),

    transaction(work) {
      const before = new Map(versions);
      try {
        return work();
      } catch (error) {
        versions = before;
        throw error;
      }
    },
  };
}

/** A resource without what the server itself keeps in it. */
function content(resource: Draft | Resource): unknown {
  const { meta, ...elements } = resource;
  const { versionId: _versionId, lastUpdated: _lastUpdated, ...own } = meta ?? {};
  return { ...elements, meta: own };
}
