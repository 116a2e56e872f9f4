/** The declarations that a person signs (facts §3.2): drawing up, and reading one back. Their times are Dutch local time. */
import type { NodeContext } from './context.ts';
import { isValidAt, ORGANIZATION, subjectOf, typeOf, type VC } from './credential.ts';
import { isObject, text } from './json.ts';
import { NodeProblem } from './problem.ts';

interface Template {
  readonly type: string;
  readonly language: 'EN' | 'NL';
  readonly version: string;
  readonly template: string;
}

export const TEMPLATES: readonly Template[] = [
  {
    type: 'PractitionerLogin',
    language: 'EN',
    version: 'v3',
    template:
      'EN:PractitionerLogin:v3 I hereby declare to act on behalf of {{{legal_entity}}} located in {{{legal_entity_city}}}. ' +
      'This declaration is valid from {{valid_from}} until {{valid_to}}.',
  },
  {
    type: 'BehandelaarLogin',
    language: 'NL',
    version: 'v3',
    template:
      'NL:BehandelaarLogin:v3 Hierbij verklaar ik te handelen in naam van {{{legal_entity}}} te {{{legal_entity_city}}}. ' +
      'Deze verklaring is geldig van {{valid_from}} tot {{valid_to}}.',
  },
];

export interface Contract {
  readonly text: string;
  readonly language: 'EN' | 'NL';
  readonly legalEntity: string;
  readonly legalEntityCity: string;
  /** The times as they stand in the text. */
  readonly validFromText: string;
  readonly validToText: string;
  readonly validFrom: Date;
  readonly validTo: Date;
}

export interface DrawUp {
  readonly type: string;
  readonly language: string;
  readonly version: string;
  readonly legalEntity: string;
  readonly validFrom: Date;
  readonly validForMs: number;
  readonly organizationCredential?: VC | undefined;
}

/** The text to be signed. Errors: 404 unknown template, 400 for an organisation that cannot be named. */
export function drawUp(context: NodeContext, request: DrawUp): string {
  const { legalEntity, validFrom } = request;
  const template = TEMPLATES.find(
    ({ type, language, version }) => type === request.type && language === request.language && version === request.version,
  );
  if (template === undefined) {
    throw new NodeProblem(404, 'no contract found for given combination of type, version, and language');
  }
  const refuse = (why: string): NodeProblem => new NodeProblem(400, `could not draw up contract: ${why}`);
  const notThen = refuse('no valid organization credential at provided validFrom date');
  if (context.network.resolve(legalEntity, validFrom) === undefined) throw notThen;
  if (context.network.signingKey(context.store, legalEntity) === undefined) {
    throw refuse('organization is not managed by this node: missing organization private key');
  }
  const credentials =
    request.organizationCredential === undefined ? organizations(context, legalEntity) : [request.organizationCredential];
  if (credentials.length === 0) {
    throw refuse('could not find a NutsOrganizationCredential for this legalEntity issued by a trusted issuer');
  }
  const credential = credentials.find((candidate) => isValidAt(candidate, validFrom));
  const named = credential === undefined ? undefined : nameAndCity(credential);
  if (named === undefined) throw notThen;
  const values: Readonly<Record<string, string>> = {
    legal_entity: named.name,
    legal_entity_city: named.city,
    valid_from: dutchTime(validFrom, template.language),
    valid_to: dutchTime(new Date(validFrom.getTime() + request.validForMs), template.language),
  };
  return template.template.replaceAll(/\{+([a-z_]+)\}+/g, (_, name: string) => values[name] ?? '');
}

/** Trusted, unrevoked organisation credentials of a DID, as this node has them. */
export function organizations(context: NodeContext, did: string): VC[] {
  const { network, store } = context;
  return network
    .credentials(store)
    .filter(
      (credential) =>
        typeOf(credential) === ORGANIZATION &&
        text(subjectOf(credential), 'id') === did &&
        network.isTrusted(store, credential) &&
        !network.revocations.has(text(credential, 'id') ?? ''),
    );
}

export function nameAndCity(credential: VC): { readonly name: string; readonly city: string } | undefined {
  const organization = subjectOf(credential)['organization'];
  const name = isObject(organization) ? text(organization, 'name') : undefined;
  const city = isObject(organization) ? text(organization, 'city') : undefined;
  return name === undefined || city === undefined ? undefined : { name, city };
}

const PATTERNS = TEMPLATES.map(({ template, language }) => ({
  language,
  pattern: new RegExp(`^${template.replaceAll(/[.:]/g, '\\$&').replaceAll(/\{+([a-z_]+)\}+/g, '(?<$1>.+)')}$`),
}));

/** Reads a drawn up text back. Throws 400 for anything else. */
export function parseContract(contractText: string): Contract {
  for (const { language, pattern } of PATTERNS) {
    const groups = pattern.exec(contractText)?.groups;
    if (groups === undefined) continue;
    const { legal_entity: entity = '', legal_entity_city: city = '', valid_from: from = '', valid_to: to = '' } = groups;
    return {
      text: contractText,
      language,
      legalEntity: entity,
      legalEntityCity: city,
      validFromText: from,
      validToText: to,
      validFrom: parseDutchTime(from, language),
      validTo: parseDutchTime(to, language),
    };
  }
  throw new NodeProblem(400, 'invalid contract text: could not extract contract version, language and type');
}

function formatter(language: 'EN' | 'NL'): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat(language === 'EN' ? 'en-GB' : 'nl-NL', {
    timeZone: 'Europe/Amsterdam',
    weekday: 'long',
    day: 'numeric',
    month: 'long',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  });
}

/** `Sunday, 22 November 2026 10:13:38`, `zondag, 22 november 2026 10:13:38`. */
export function dutchTime(date: Date, language: 'EN' | 'NL'): string {
  const parts = Object.fromEntries(
    formatter(language)
      .formatToParts(date)
      .map(({ type, value }) => [type, value]),
  );
  const time = [parts['hour'], parts['minute'], parts['second']].join(':');
  return `${parts['weekday'] ?? ''}, ${Number(parts['day']).toString().padStart(2, '0')} ${parts['month'] ?? ''} ${parts['year'] ?? ''} ${time}`;
}

/** The moment of such a text: the one of the two possible offsets that gives the same text back. */
function parseDutchTime(value: string, language: 'EN' | 'NL'): Date {
  const match = /(\d{1,2}) (\p{L}+) (\d{4}) (\d{2}):(\d{2}):(\d{2})$/u.exec(value);
  const months = Array.from({ length: 12 }, (_, index) => {
    const parts = formatter(language).formatToParts(new Date(Date.UTC(2026, index, 15)));
    return parts.find(({ type }) => type === 'month')?.value;
  });
  const [day, year, hour, minute, second] = [1, 3, 4, 5, 6].map((index) => Number(match?.[index])) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const local = Date.UTC(year, months.indexOf(match?.[2]), day, hour, minute, second);
  const offsets = [2, 1].map((hours) => new Date(local - hours * 3600 * 1000));
  const found = offsets.find((candidate) => !Number.isNaN(candidate.getTime()) && dutchTime(candidate, language) === value);
  if (found === undefined) throw new NodeProblem(400, `invalid contract text: unable to parse contract time: ${value}`);
  return found;
}
