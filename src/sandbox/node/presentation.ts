/** Signed statements about a person (facts §3.2): making the employee's, and judging the identity that comes with a grant. */
import type { NodeContext } from './context.ts';
import { parseContract, type Contract } from './contract.ts';
import {
  createCredential,
  EMPLOYEE,
  isValidAt,
  issuerOf,
  JWS_CONTEXT,
  NUTS_CONTEXT,
  signDocument,
  signerOf,
  subjectOf,
  verifyDocument,
  W3C_CONTEXT,
} from './credential.ts';
import { collapse, isObject, list, sorted, text, type Json } from './json.ts';
import type { Employee, UserClaims } from './session-types.ts';
import { KEY_NOT_FOUND, NodeProblem } from './problem.ts';

const DAY_MS = 24 * 3600 * 1000;

/** The presentation that the employer's key signs once the person has confirmed; its credential is fresh and never published. */
export async function presentEmployee(
  context: NodeContext,
  employer: string,
  employee: Employee,
  contract: string,
): Promise<Json> {
  const now = context.clock.now();
  const key = context.network.signingKey(context.store, employer);
  if (key === undefined) {
    throw new NodeProblem(
      500,
      'failed to create VerifiablePresentation: issue VC failed: failed to sign credential: could not resolve an assertionKey for issuer: ' +
        `failed to resolve assertionKey: could not resolve key from keyStore: ${KEY_NOT_FOUND}`,
    );
  }
  const { identifier, initials, familyName, roleName } = employee;
  const member = {
    identifier,
    member: { familyName, initials, type: 'Person' },
    ...(roleName === undefined ? {} : { roleName }),
    type: 'EmployeeRole',
  };
  const credential = await createCredential(
    {
      type: EMPLOYEE,
      issuer: employer,
      expirationDate: new Date(now.getTime() + DAY_MS).toISOString(),
      subject: { id: employer, member, type: 'Organization' },
    },
    key,
    now,
  );
  const presentation = {
    '@context': [NUTS_CONTEXT, W3C_CONTEXT, JWS_CONTEXT],
    type: ['VerifiablePresentation', 'NutsSelfSignedPresentation'],
    verifiableCredential: credential,
  };
  return sorted(await signDocument(presentation, key, now, 'authentication', { challenge: contract }));
}

/** The presentation of the `dummy` means: unsigned, so that everybody can make it; its proof has capitals (facts §3.2). */
export function presentDummy(contract: string): Json {
  return {
    '@context': [W3C_CONTEXT],
    proof: {
      Contract: contract,
      Email: 'tester@example.com',
      FamilyName: 'Dummy',
      Initials: 'I',
      Prefix: 'von',
      Type: 'NoSignature',
    },
    type: ['VerifiablePresentation', 'DummyVerifiablePresentation'],
  };
}

export interface Identity {
  readonly vpType: string;
  readonly contract: Contract;
  readonly user: UserClaims;
}

export type IdentityJudgement =
  { readonly valid: true; readonly identity: Identity } | { readonly valid: false; readonly reason: string };

/** Judges a presentation at this moment. Throws for what is no presentation of a known type. */
export async function judgeIdentity(context: NodeContext, presentation: Json): Promise<IdentityJudgement> {
  const types = list(presentation['type']).filter((type) => type !== 'VerifiablePresentation');
  const [vpType] = types;
  if (types.length !== 1 || typeof vpType !== 'string') {
    throw new NodeProblem(400, 'unprocessable VerifiablePresentation, exactly 1 custom type is expected');
  }
  if (vpType === 'NutsSelfSignedPresentation') return judgeEmployee(context, presentation);
  if (vpType === 'DummyVerifiablePresentation' && context.dummyMeans) return judgeDummy(context, presentation);
  throw new NodeProblem(400, `unknown VerifiablePresentation type: ${vpType}`);
}

async function judgeEmployee(context: NodeContext, presentation: Json): Promise<IdentityJudgement> {
  const credential = collapse(presentation['verifiableCredential']);
  const proof = collapse(presentation['proof']);
  if (!isObject(credential) || !isObject(proof)) return { valid: false, reason: 'invalid presentation' };
  const now = context.clock.now();
  const publicKey = (kid: string) => context.network.publicKey(kid);
  const employer = issuerOf(credential);
  const subject = subjectOf(credential);
  const [whole, part] = await Promise.all([verifyDocument(presentation, publicKey), verifyDocument(credential, publicKey)]);
  const selfSigned = signerOf(presentation) === employer && signerOf(credential) === employer && text(subject, 'id') === employer;
  if (!whole || !part || !selfSigned || !list(credential['type']).includes(EMPLOYEE)) {
    return { valid: false, reason: 'invalid signature' };
  }
  if (!isValidAt(credential, now)) return { valid: false, reason: 'credential not valid at given time' };
  const role = subject['member'];
  const person = isObject(role) ? role['member'] : undefined;
  if (!isObject(role) || !isObject(person)) return { valid: false, reason: 'credential has no member' };
  return judgeContract(now, text(proof, 'challenge') ?? '', 'NutsSelfSignedPresentation', {
    initials: text(person, 'initials') ?? '',
    prefix: '',
    family_name: text(person, 'familyName') ?? '',
    email: '',
    username: text(role, 'identifier') ?? '',
    user_role: text(role, 'roleName') ?? '',
    assurance_level: 'low',
  });
}

function judgeDummy(context: NodeContext, presentation: Json): IdentityJudgement {
  const proof = collapse(presentation['proof']);
  if (!isObject(proof)) throw new NodeProblem(400, 'could not verify VP: proof missing');
  const email = text(proof, 'Email') ?? '';
  return judgeContract(context.clock.now(), text(proof, 'Contract') ?? '', 'DummyVerifiablePresentation', {
    initials: text(proof, 'Initials') ?? '',
    prefix: text(proof, 'Prefix') ?? '',
    family_name: text(proof, 'FamilyName') ?? '',
    email,
    username: email,
    user_role: '',
    assurance_level: 'low',
  });
}

function judgeContract(now: Date, contractText: string, vpType: string, user: UserClaims): IdentityJudgement {
  let contract: Contract;
  try {
    contract = parseContract(contractText);
  } catch (error) {
    return { valid: false, reason: error instanceof Error ? error.message : 'invalid contract text' };
  }
  const holds = contract.validFrom.getTime() <= now.getTime() && now.getTime() <= contract.validTo.getTime();
  if (!holds) return { valid: false, reason: 'contract is expired or not yet valid' };
  return { valid: true, identity: { vpType, contract, user } };
}
