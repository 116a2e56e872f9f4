/** The page on which an employee confirms who they are; its element ids are those of a real node, so that scripts work on both. */
import type { EmployeeSession } from './session-types.ts';

const TEXTS = {
  EN: {
    question: 'Is this you, and do you want to declare the following?',
    accept: 'Yes, I confirm',
    reject: 'No, cancel',
    started: 'This confirmation has already been started. Please go back to your application and start again.',
    done: 'Thank you. You can close this page and go back to your application.',
    role: 'Role',
    name: 'Name',
    identifier: 'Identifier',
  },
  NL: {
    question: 'Bent u dit, en wilt u het volgende verklaren?',
    accept: 'Ja, ik bevestig dit',
    reject: 'Nee, annuleren',
    started: 'Deze bevestiging is al begonnen. Ga terug naar uw applicatie en begin opnieuw.',
    done: 'Dank u wel. U kunt deze pagina sluiten en teruggaan naar uw applicatie.',
    role: 'Functie',
    name: 'Naam',
    identifier: 'Kenmerk',
  },
} as const;

type Texts = (typeof TEXTS)[keyof typeof TEXTS];

/** The page as it stands when it is asked for the first time (`form`), again (`started`), or after the answer (`done`). */
export function employeePage(session: EmployeeSession, view: 'form' | 'started' | 'done'): string {
  const language = session.contract.startsWith('NL:') ? 'NL' : 'EN';
  const texts = TEXTS[language];
  return `<!DOCTYPE html>
<html lang="${language.toLowerCase()}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Bevestig uw identiteit</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 2rem auto; padding: 0 1rem; }
.sandbox { background: #fff3cd; color: #533f03; padding: .5rem 1rem; border-radius: .25rem; }
dt { font-weight: 600; } dd { margin: 0 0 .5rem; }
button { font: inherit; padding: .5rem 1rem; margin-right: .5rem; }
</style>
</head>
<body>
<p class="sandbox">Simulated Nuts node: for development only.</p>
<main>
<h1>Bevestig uw identiteit</h1>
${view === 'form' ? form(session, texts) : `<p role="status">${escape(texts[view])}</p>`}
</main>
</body>
</html>
`;
}

function form(session: EmployeeSession, texts: Texts): string {
  const { employee, contract, secret } = session;
  const declaration = contract.slice(contract.indexOf(' ') + 1);
  const role =
    employee.roleName === undefined ? '' : `<dt>${texts.role}</dt><dd id="employee-role">${escape(employee.roleName)}</dd>`;
  return `<p>${escape(texts.question)}</p>
<dl>
<dt>${texts.name}</dt><dd id="employee-name">${escape(`${employee.initials} ${employee.familyName}`)}</dd>
<dt>${texts.identifier}</dt><dd id="employee-identifier">${escape(employee.identifier)}</dd>
${role}
</dl>
<blockquote id="contract">${escape(declaration)}</blockquote>
<form method="POST">
<input type="hidden" name="secret" value="${escape(secret)}" />
<button type="submit" id="accept-button" name="accept" value="true">${escape(texts.accept)}</button>
<button type="submit" id="reject-button" name="accept" value="false">${escape(texts.reject)}</button>
</form>`;
}

function escape(value: string): string {
  return value.replaceAll(/[&<>"']/g, (character) => `&#${character.codePointAt(0) ?? 0};`);
}
