import type { JsonObject, JsonValue } from 'sluis/usecase';
import codes from './codes.json' with { type: 'json' };
import type { EOverdrachtConfig } from './config.ts';
import { documentType, type DocumentKind } from './task.ts';

/** What stands behind a document that we make: the resources to write, the Composition last. */
export type BuiltDocument = readonly JsonObject[];

/** Section names (those of `codes.json`) to the references that stand in them. */
export type Sections = Readonly<Record<string, readonly string[]>>;

/** Names of every section that a document can have. */
export const SECTION_NAMES: readonly string[] = [
  ...codes.frame.flatMap((section) => section.sections.map((each) => each.name)),
  codes.documentsSection.name,
];

/** Builds a Composition in the frame of the profiles (facts §3.2); a section without entries is left out, as STU3 demands. */
export function buildComposition(
  composition: {
    readonly kind: DocumentKind;
    readonly id: string;
    /** `Patient/…`. */
    readonly subject: string;
    readonly author: JsonObject;
    readonly at: string;
    readonly transferDate: string;
    readonly sections: Sections;
  },
  config: Pick<EOverdrachtConfig, 'codingOrder'>,
): JsonObject {
  const { profile, title } = codes.documents[composition.kind];
  const sections: JsonObject[] = [];
  for (const frame of codes.frame) {
    const inner = frame.sections.flatMap((each) => leaf(each, composition.sections));
    if (inner.length === 0) continue;
    const dated = 'transferDate' in frame;
    sections.push({
      ...(dated ? { extension: [{ url: codes.transferDateExtension, valueDateTime: composition.transferDate }] } : {}),
      title: frame.title,
      code: concept(frame.code),
      section: inner,
    });
  }
  sections.push(...leaf(codes.documentsSection, composition.sections));
  return {
    resourceType: 'Composition',
    id: composition.id,
    meta: { profile: [profile] },
    status: 'final',
    type: documentType(composition.kind, config),
    subject: { reference: composition.subject },
    date: composition.at,
    author: [composition.author],
    title,
    section: sections,
  };
}

function leaf(
  section: { readonly name: string; readonly code: string; readonly title: string },
  sections: Sections,
): readonly JsonObject[] {
  const entries = sections[section.name] ?? [];
  if (entries.length === 0) return [];
  return [{ title: section.title, code: concept(section.code), entry: entries.map((reference): JsonValue => ({ reference })) }];
}

function concept(code: string): JsonObject {
  return { coding: [{ system: codes.snomed, code }] };
}
