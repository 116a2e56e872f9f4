import type { Clock } from '../../clock.ts';
import type { FhirVersion } from '../../fhir/version.ts';
import type { DocumentMode } from './document.ts';
import type { Resource } from './resource.ts';
import type { ResourceStore } from './store.ts';

/** How this server behaves where real servers differ, or do what a gate must be safe against. */
export interface Behaviour {
  readonly document: DocumentMode;
  /** A stale `If-Match`: 409 (usual on STU3, and with some on R4) or 412. */
  readonly staleVersionStatus: 409 | 412;
  /** `ignored`: every PUT overwrites, whatever its `If-Match`: a server that loses updates. */
  readonly ifMatch: 'enforced' | 'ignored';
  /** A dangling reference is refused on write, and the deletion of what is referred to: order matters. */
  readonly referentialIntegrity: boolean;
  /** Empty path segments are skipped and ids are percent-decoded twice. */
  readonly lenientPaths: boolean;
  /** Absolute URLs in answers begin with the request's `Host`, whoever wrote it, instead of the server's own base. */
  readonly echoHost: boolean;
}

/** What the interactions work on. */
export interface World {
  readonly name: string;
  readonly version: FhirVersion;
  readonly clock: Clock;
  readonly store: ResourceStore;
  readonly behaviour: Behaviour;
  /** Search results by their `_getpages` key: whoever knows the key reads on, whatever was asked before. */
  readonly pages: Map<string, ResultPages>;
}

export interface ResultPages {
  readonly matches: readonly Resource[];
  /** What comes along with a page of them. */
  readonly included: (matches: readonly Resource[]) => readonly Resource[];
}
