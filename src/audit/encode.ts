import type { AuditEntry, AuditFacts } from './entry.ts';

/**
 * Renders an entry as the members of one JSON line, without the leading `{"seq":…,"tenant":…,` and with the closing brace.
 * Text is put together by hand: an intermediate object and `JSON.stringify` cost more than everything else in the journal.
 *
 * @param intent sequence of the intent that an outcome closes
 */
export function encodeEntry(entry: AuditEntry, intent?: number): string {
  let text = '"phase":"' + entry.phase + '","at":"' + instant(entry.at) + '","correlationId":' + quote(entry.correlationId);
  if (entry.part !== undefined) text += ',"part":' + quote(entry.part);
  switch (entry.phase) {
    case 'intent':
      break;
    case 'outcome':
      if (intent !== undefined) text += ',"intent":' + String(intent);
      text += ',"outcome":"' + entry.outcome + '","status":' + integer(entry.status) + ',"reason":' + quoteKnown(entry.reason);
      if (entry.why !== undefined) text += ',"why":' + quoteChecked(entry.why);
      if (entry.bytes !== undefined) text += ',"bytes":' + integer(entry.bytes);
      if (entry.durationMs !== undefined) text += ',"durationMs":' + decimal(entry.durationMs);
      if (entry.complete !== undefined) text += entry.complete ? ',"complete":true' : ',"complete":false';
      if (entry.resourceVersion !== undefined) text += ',"resourceVersion":' + quoteChecked(entry.resourceVersion);
      break;
    case 'event':
      text += ',"event":' + quote(entry.event) + ',"outcome":"' + entry.outcome + '"';
      if (entry.reason !== undefined) text += ',"reason":' + quoteChecked(entry.reason);
      break;
  }
  return text + encodeFacts(entry) + '}';
}

/** A JSON string literal; the fast path is one test and two concatenations. */
export function quote(value: string): string {
  return UNSAFE.test(value) ? JSON.stringify(value) : '"' + value + '"';
}

// What JSON must escape, and what needs a second look: controls, and surrogates (alone they are no UTF-8).
const UNSAFE = /[^ !#-[\]-~\u00a0-\ud7ff\ue000-\ufffd]/;

// The last line of defence against what must never be here: a JWT, a token with its scheme, a BSN with its naming system.
// A bare nine-digit number is left alone: it is a lawful id of a resource.
const FORBIDDEN =
  /eyJ[\w-]{8,}\.[\w-]*(?:\.[\w-]*)?|\b(?:Bearer|DPoP) [\w.~+/=-]{16,}|(\bbsn|2\.16\.840\.1\.113883\.2\.4\.6\.3)((?:[|:/=]|%7C|%3A)*)\d{8,9}\b/gi;

/** As `quote`, for values that a caller can influence. */
function quoteChecked(value: string): string {
  // Everything forbidden is longer than this.
  return quote(value.length < 11 ? value : mask(value));
}

/** As `quoteChecked`, for values of which there are few and each comes often: names of ours, parties, their credentials. */
function quoteKnown(value: string): string {
  let quoted = KNOWN.get(value);
  if (quoted === undefined) {
    quoted = quoteChecked(value);
    if (KNOWN.size >= MAX_KNOWN) KNOWN.clear();
    if (value.length <= MAX_KNOWN_CHARACTERS) KNOWN.set(value, quoted);
  }
  return quoted;
}

const KNOWN = new Map<string, string>();
const MAX_KNOWN = 4_096;
const MAX_KNOWN_CHARACTERS = 512;

function mask(value: string): string {
  FORBIDDEN.lastIndex = 0;
  return FORBIDDEN.test(value)
    ? value.replace(FORBIDDEN, (_all, system?: string, separator?: string) => `${system ?? ''}${separator ?? ''}[redacted]`)
    : value;
}

function encodeFacts(facts: AuditFacts): string {
  let text = '';
  if (facts.remoteAddress !== undefined) text += ',"remoteAddress":' + quote(facts.remoteAddress);
  const { requester, user, clientCertificate, credentials, attributes } = facts;
  if (requester !== undefined) {
    text += ',"requester":{"id":' + quoteKnown(requester.id);
    text += requester.name === undefined ? '}' : ',"name":' + quote(requester.name) + '}';
  }
  if (user !== undefined) {
    text += ',"user":{"id":' + quoteChecked(user.id);
    if (user.name !== undefined) text += ',"name":' + quote(user.name);
    if (user.role !== undefined) text += ',"role":' + quote(user.role);
    if (user.level !== undefined) text += ',"level":' + quote(user.level);
    text += '}';
  }
  if (clientCertificate !== undefined) {
    text += ',"clientCertificate":{"subject":' + quote(clientCertificate.subject);
    text += clientCertificate.serial === undefined ? '}' : ',"serial":' + quote(clientCertificate.serial) + '}';
  }
  if (facts.purpose !== undefined) text += ',"purpose":' + quoteKnown(facts.purpose);
  if (facts.useCase !== undefined) text += ',"useCase":' + quoteKnown(facts.useCase);
  if (facts.role !== undefined) text += ',"role":' + quoteKnown(facts.role);
  if (facts.rule !== undefined) text += ',"rule":' + quoteKnown(facts.rule);
  if (facts.interaction !== undefined) text += ',"interaction":' + quoteKnown(facts.interaction);
  if (facts.path !== undefined) text += ',"path":' + quoteChecked(facts.path);
  if (credentials !== undefined && credentials.length > 0) {
    let list = '';
    for (const id of credentials) list += (list === '' ? '' : ',') + quoteKnown(id);
    text += ',"credentials":[' + list + ']';
  }
  if (facts.grant !== undefined) text += ',"grant":' + quote(facts.grant);
  if (facts.patient !== undefined) text += ',"patient":' + quoteChecked(facts.patient);
  if (facts.patientProof !== undefined) text += ',"patientProof":' + quote(facts.patientProof);
  if (attributes !== undefined) {
    let list = '';
    for (const name in attributes) {
      const value = attributes[name];
      if (value !== undefined) list += (list === '' ? '' : ',') + quoteKnown(name) + ':' + quoteChecked(value);
    }
    if (list !== '') text += ',"attributes":{' + list + '}';
  }
  if (facts.tokenHash !== undefined) text += ',"tokenHash":' + quote(facts.tokenHash);
  if (facts.keyThumbprint !== undefined) text += ',"keyThumbprint":' + quote(facts.keyThumbprint);
  return text;
}

let lastMs = Number.NaN;
let lastInstant = '';

// Many entries share a millisecond; formatting one is dear.
function instant(at: Date): string {
  const ms = at.getTime();
  if (ms !== lastMs) {
    lastInstant = at.toISOString();
    lastMs = ms;
  }
  return lastInstant;
}

function integer(value: number): string {
  return Number.isSafeInteger(value) ? String(value) : '0';
}

function decimal(value: number): string {
  return Number.isFinite(value) ? String(Math.round(value * 1000) / 1000) : '0';
}
