/** What a node checks of a credential's content before it issues or accepts it (facts §4.1); the texts are those of a v5 node. */
import { AUTHORIZATION, EMPLOYEE, ORGANIZATION, subjectOf, typeOf, type VC } from './credential.ts';
import { parseDid } from './did-document.ts';
import { isObject, list, text } from './json.ts';
import { NodeProblem, within } from './problem.ts';

/** The properties that the contexts define, below `credentialSubject`; `true` takes any value. */
type Shape = { readonly [property: string]: Shape | true };

const SHAPES: Readonly<Record<string, Shape>> = {
  [ORGANIZATION]: { id: true, type: true, organization: { type: true, name: true, city: true, ura: true } },
  [AUTHORIZATION]: {
    id: true,
    type: true,
    purposeOfUse: true,
    subject: true,
    resources: { type: true, path: true, operations: true, userContext: true, assuranceLevel: true },
    localParameters: true,
  },
  [EMPLOYEE]: {
    id: true,
    type: true,
    name: true,
    roleName: true,
    identifier: true,
    member: {
      type: true,
      identifier: true,
      roleName: true,
      member: { type: true, initials: true, familyName: true, prefix: true },
    },
  },
};

export const UNDEFINED_PROPERTY = 'invalid property: Dropping property that did not expand into an absolute IRI or keyword.';

const OPERATIONS: ReadonlySet<string> = new Set([
  'read',
  'vread',
  'update',
  'patch',
  'delete',
  'history',
  'create',
  'search',
  'document',
]);

/** Whether every property of `value` is defined: what the contexts define depends on the types (`id` and `type` always are). */
export function isDefined(value: unknown, types: readonly unknown[]): boolean {
  const shapes = types.flatMap((type) => (typeof type === 'string' && Object.hasOwn(SHAPES, type) ? [SHAPES[type] ?? {}] : []));
  return fits(value, Object.assign({ id: true, type: true }, ...shapes) as Shape);
}

function fits(value: unknown, shape: Shape): boolean {
  return list(value).every((entry) => {
    if (!isObject(entry)) return true;
    return Object.keys(entry).every((key) => {
      const inner = Object.hasOwn(shape, key) ? shape[key] : undefined;
      return inner === true || (inner !== undefined && fits(entry[key], inner));
    });
  });
}

/** Throws 500 `validation failed: …` for content that a real node refuses. */
export function checkContent(credential: VC): void {
  within('validation failed', () => {
    const type = typeOf(credential);
    const contexts = list(credential['@context']);
    if (!Object.hasOwn(SHAPES, type) || !contexts.includes('https://nuts.nl/credentials/v1'))
      throw new NodeProblem(500, UNDEFINED_PROPERTY);
    if (list(credential['credentialSubject']).length !== 1) throw new NodeProblem(500, 'single CredentialSubject expected');
    if (!isDefined(credential['credentialSubject'], [type])) throw new NodeProblem(500, UNDEFINED_PROPERTY);
    const id = text(credential, 'id');
    if (id !== undefined && id.split('#')[0] !== text(credential, 'issuer')) {
      throw new NodeProblem(500, 'credential ID must start with issuer');
    }
    if (type === ORGANIZATION) checkOrganization(credential);
    if (type === AUTHORIZATION) checkAuthorization(credential);
  });
}

function checkOrganization(credential: VC): void {
  const organization = subjectOf(credential)['organization'];
  if (!isObject(organization)) throw new NodeProblem(500, "'credentialSubject.organization' is empty");
  for (const field of ['name', 'city']) {
    if (isBlank(text(organization, field))) throw new NodeProblem(500, `'credentialSubject.${field}' is empty`);
  }
}

function checkAuthorization(credential: VC): void {
  const subject = subjectOf(credential);
  const id = text(subject, 'id');
  if (isBlank(id)) throw new NodeProblem(500, "'credentialSubject.ID' is nil");
  try {
    parseDid(id ?? '');
  } catch (error) {
    throw new NodeProblem(500, `invalid 'credentialSubject.id': ${error instanceof Error ? error.message : ''}`);
  }
  if (isBlank(text(subject, 'purposeOfUse'))) throw new NodeProblem(500, "'credentialSubject.PurposeOfUse' is nil");
  for (const resource of list(subject['resources'])) {
    if (!isObject(resource) || isBlank(text(resource, 'path'))) {
      throw new NodeProblem(500, "'credentialSubject.Resources[].Path' is required'");
    }
    const operations = list(resource['operations']);
    if (operations.length === 0) {
      throw new NodeProblem(500, "'credentialSubject.Resources[].Operations[]' requires at least one value");
    }
    const wrong = operations.find((operation) => typeof operation !== 'string' || !OPERATIONS.has(operation.toLowerCase()));
    if (wrong !== undefined) {
      const name = typeof wrong === 'string' ? wrong : JSON.stringify(wrong);
      throw new NodeProblem(500, `'credentialSubject.Resources[].Operations[]' contains an invalid operation '${name}'`);
    }
  }
}

function isBlank(value: string | undefined): boolean {
  return value === undefined || value.trim() === '';
}
