/** Contracts, signing sessions, the employee's page, and signing with the node's keys, over HTTP (facts §3.2). */
import { CompactSign, SignJWT } from 'jose';
import { z } from 'zod';

import { EMPLOYEE_PAGE_PATH, type NodeContext } from './context.ts';
import { drawUp, TEMPLATES } from './contract.ts';
import { parseDid } from './did-document.ts';
import { employeePage } from './employee-page.ts';
import { empty, json, parseBody, plain, type Answer, type Call, type Route } from './http.ts';
import type { SigningKey } from './key.ts';
import { judgeIdentity } from './presentation.ts';
import { KEY_NOT_FOUND, NodeProblem, within } from './problem.ts';
import { confirmSession, employeeSession, pollSession, startSession } from './sign-session.ts';

const jsonObject = z.record(z.string(), z.unknown());

const drawUpRequest = z.looseObject({
  type: z.string().nullish(),
  language: z.string().nullish(),
  version: z.string().nullish(),
  legalEntity: z.string().nullish(),
  validFrom: z.string().nullish(),
  validDuration: z.string().nullish(),
  organizationCredential: jsonObject.nullish(),
});

const employeeText = z.string().optional().catch(undefined);
const sessionRequest = z.looseObject({
  means: z.string().nullish(),
  payload: z.string().nullish(),
  params: z
    .looseObject({
      employer: employeeText,
      employee: z
        .looseObject({ identifier: employeeText, initials: employeeText, familyName: employeeText, roleName: employeeText })
        .optional()
        .catch(undefined),
    })
    .nullish(),
});

const verifyRequest = z.looseObject({
  VerifiablePresentation: jsonObject.nullish(),
  verifiablePresentation: jsonObject.nullish(),
});
const signJwsRequest = z.looseObject({ kid: z.string().nullish(), headers: jsonObject.nullish(), payload: z.string().nullish() });
const signJwtRequest = z.looseObject({ kid: z.string().nullish(), claims: jsonObject.nullish() });

export function signRoutes(context: NodeContext): Route[] {
  const base = '/internal/auth/v1';
  return [
    {
      method: 'PUT',
      path: `${base}/contract/drawup`,
      operation: 'DrawUpContract',
      handle: (call) => drawUpContract(context, call),
    },
    {
      method: 'GET',
      path: '/public/auth/v1/contract/:type',
      operation: 'GetContractByType',
      handle: (call) => contractTemplate(call),
    },
    { method: 'POST', path: `${base}/signature/session`, operation: 'CreateSignSession', handle: (call) => start(context, call) },
    {
      method: 'GET',
      path: `${base}/signature/session/:id`,
      operation: 'GetSignSessionStatus',
      handle: async ({ params }) => json(await pollSession(context, params['id'] ?? '')),
    },
    {
      method: 'PUT',
      path: `${base}/signature/verify`,
      operation: 'VerifySignature',
      handle: async (call) => verifySignature(context, call),
    },
    { method: 'GET', path: `${EMPLOYEE_PAGE_PATH}/:id`, handle: ({ params }) => showPage(context, params['id'] ?? '') },
    {
      method: 'POST',
      path: `${EMPLOYEE_PAGE_PATH}/:id`,
      handle: ({ params, form }) => {
        const session = employeeSession(context, params['id'] ?? '');
        confirmSession(session, form.get('secret'), form.get('accept'));
        return empty(302, { Location: `./${session.id}` });
      },
    },
    ...keyRoutes(context),
  ];
}

function drawUpContract(context: NodeContext, call: Call): Answer {
  const body = parseBody(call, drawUpRequest);
  const { type = '', language = '', version = '' } = withoutNull(body);
  const legalEntity = within(`invalid value '${body.legalEntity ?? ''}' for param legalEntity`, () =>
    parseDid(body.legalEntity ?? ''),
  );
  const validFrom = typeof body.validFrom === 'string' ? new Date(body.validFrom) : context.clock.now();
  if (Number.isNaN(validFrom.getTime()))
    throw new NodeProblem(400, `could not parse validFrom: parsing time "${body.validFrom ?? ''}"`);
  const message = drawUp(context, {
    type,
    language,
    version,
    legalEntity,
    validFrom,
    validForMs: parseDuration(body.validDuration ?? '60m'),
    organizationCredential: body.organizationCredential ?? undefined,
  });
  return json({ language, message, type, version });
}

function withoutNull(body: z.infer<typeof drawUpRequest>): { type?: string; language?: string; version?: string } {
  const { type, language, version } = body;
  return {
    ...(typeof type === 'string' ? { type } : {}),
    ...(typeof language === 'string' ? { language } : {}),
    ...(typeof version === 'string' ? { version } : {}),
  };
}

const UNIT_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };

/** `2h`, `1h30m`, `90s`: milliseconds. */
function parseDuration(value: string): number {
  if (!/^(\d+(\.\d+)?(ms|h|m|s))+$/.test(value)) {
    throw new NodeProblem(400, `could not parse validDuration: time: invalid duration "${value}"`);
  }
  return [...value.matchAll(/([\d.]+)(ms|h|m|s)/g)].reduce(
    (sum, [, count, unit]) => sum + Number(count) * (UNIT_MS[unit ?? ''] ?? 0),
    0,
  );
}

function contractTemplate({ params, query }: Call): Answer {
  const [version, language] = [query.get('version') ?? 'v3', query.get('language') ?? 'NL'];
  const found = TEMPLATES.find(
    (known) => known.type === params['type'] && known.version === version && known.language === language,
  );
  if (found === undefined) throw new NodeProblem(404, 'could not find contract template');
  return json({
    language,
    template: found.template,
    template_attributes: ['legal_entity', 'legal_entity_city', 'valid_from', 'valid_to'],
    type: found.type,
    version,
  });
}

function start(context: NodeContext, call: Call): Answer {
  const { means, payload, params } = parseBody(call, sessionRequest);
  const employee = params?.employee;
  const session = startSession(context, {
    means: means ?? '',
    payload: payload ?? '',
    employer: params?.employer,
    employee:
      employee === undefined
        ? undefined
        : {
            identifier: employee.identifier,
            initials: employee.initials,
            familyName: employee.familyName,
            roleName: employee.roleName,
          },
  });
  const url = session.means === 'dummy' ? {} : { url: `${context.url()}${EMPLOYEE_PAGE_PATH}/${session.id}` };
  return json({ means: session.means, sessionID: session.id, sessionPtr: { sessionID: session.id, ...url } }, 201);
}

async function verifySignature(context: NodeContext, call: Call): Promise<Answer> {
  const body = parseBody(call, verifyRequest);
  const presentation = body.VerifiablePresentation ?? body.verifiablePresentation ?? {};
  const judgement = await judgeIdentity(context, presentation).catch((error: unknown) => {
    const why = error instanceof Error ? error.message : '';
    throw new NodeProblem(400, `unable to verify the verifiable presentation: ${why}`);
  });
  if (!judgement.valid) return json({ validity: false });
  const { contract, user, vpType } = judgement.identity;
  const attributes = {
    assurance_level: user.assurance_level,
    email: user.email,
    familyname: user.family_name,
    initials: user.initials,
    prefix: user.prefix,
    user_role: user.user_role,
    username: user.username,
  };
  return json({
    credentials: {
      legal_entity: contract.legalEntity,
      legal_entity_city: contract.legalEntityCity,
      valid_from: contract.validFromText,
      valid_to: contract.validToText,
    },
    issuerAttributes: Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== '')),
    validity: true,
    vpType,
  });
}

function showPage(context: NodeContext, id: string): Answer {
  const session = employeeSession(context, id);
  const view = session.state === 'created' ? 'form' : session.state === 'in-progress' ? 'started' : 'done';
  if (session.state === 'created') session.state = 'in-progress';
  return plain(employeePage(session, view), 'text/html; charset=UTF-8');
}

/** The node's own keys sign what its user wants (the crypto API); tests make odd tokens with it. */
function keyRoutes(context: NodeContext): Route[] {
  const keyOf = (kid: string | null | undefined): SigningKey => {
    const key = context.store.keys.get(kid ?? '');
    if (key === undefined) throw new NodeProblem(400, KEY_NOT_FOUND);
    return key;
  };
  return [
    {
      method: 'POST',
      path: '/internal/crypto/v1/sign_jws',
      operation: 'SignJws',
      handle: async (call) => {
        const { kid, headers, payload } = parseBody(call, signJwsRequest);
        const key = keyOf(kid);
        const bytes = Buffer.from(payload ?? '', 'base64');
        return plain(
          await new CompactSign(bytes).setProtectedHeader({ ...headers, alg: 'ES256', kid: key.kid }).sign(key.privateKey),
        );
      },
    },
    {
      method: 'POST',
      path: '/internal/crypto/v1/sign_jwt',
      operation: 'SignJwt',
      handle: async (call) => {
        const { kid, claims } = parseBody(call, signJwtRequest);
        const key = keyOf(kid);
        return plain(
          await new SignJWT(claims ?? {}).setProtectedHeader({ alg: 'ES256', kid: key.kid, typ: 'JWT' }).sign(key.privateKey),
        );
      },
    },
  ];
}
