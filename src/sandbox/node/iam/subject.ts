/** Subjects of generation v2: `createSubject`, `subjectOf`, and the URLs that follow from a subject. */
import type { NodeContext } from '../context.ts';
import { NodeProblem } from '../problem.ts';
import type { DidDocument } from '../did-document.ts';
import type { Subject } from './store.ts';

const PATTERN = /^[a-zA-Z0-9._-]+$/;

/** A new subject with a did:web below the node's URL. Errors: 400, 409. */
export function createSubject(context: NodeContext, id: string): DidDocument {
  if (!PATTERN.test(id))
    throw new NodeProblem(400, `subject creation validation error\ninvalid subject (must follow pattern: ${PATTERN.source})`);
  const { subjects } = context.store.iam;
  if (subjects.has(id)) throw new NodeProblem(409, 'could not store DID documents: subject already exists');
  return found(context, id);
}

/** The subject that a node finds when it starts: made anew when there is none, or when the node has another address now. */
export function found(context: NodeContext, id: string): DidDocument {
  const document = context.network.createWebDid(context.store, context.url(), `subject ${id} of ${context.store.name}`);
  context.store.iam.subjects.set(id, { id, dids: [document.id] });
  return document;
}

/** Errors: 404 when it does not exist, or `status`. */
export function subjectNamed(context: NodeContext, id: string, status = 404): Subject {
  const subject = context.store.iam.subjects.get(id);
  if (subject === undefined)
    throw new NodeProblem(status, status === 400 ? 'invalid_request - subject not found' : 'subject not found');
  return subject;
}

/** The issuer of its access tokens, and its `client_id` elsewhere. */
export function issuerUrl(context: NodeContext, subject: string): string {
  return `${context.url()}/oauth2/${subject}`;
}
