import type { Answer, Call } from '../http.ts';
import { json } from '../http.ts';

/** An OAuth error of the authorization server (facts §0.2). */
export class OAuthError extends Error {
  override readonly name = 'OAuthError';
  readonly code: string;

  constructor(code: string, description: string) {
    super(description);
    this.code = code;
  }
}

/** Runs `work`; its OAuth errors become JSON for who accepts or sends JSON, else a page. 500 for `server_error`, else 400. */
export async function answeringOAuth(call: Call, work: () => Answer | Promise<Answer>): Promise<Answer> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof OAuthError)) throw error;
    const status = error.code === 'server_error' ? 500 : 400;
    const { accept = '', 'content-type': type = '' } = call.request.headers;
    if (accept.includes('application/json') || type.includes('application/json')) {
      return json({ error: error.code, error_description: error.message }, status);
    }
    return { status, headers: { 'Content-Type': 'text/html; charset=UTF-8' }, body: page(error) };
  }
}

function page({ code, message }: OAuthError): string {
  return `<html lang="en">
<head>
    <meta charset="UTF-8">
    <title>Authorization error</title>
</head>
<body>
    <h1>Authorization error</h1>
    <pre>
Code: ${escaped(code)}
Description: ${escaped(message)}</pre>
</body>
</html>
`;
}

function escaped(value: string): string {
  const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&#34;', "'": '&#39;' };
  return value.replaceAll(/[&<>"']/g, (character) => entities[character] ?? character);
}
