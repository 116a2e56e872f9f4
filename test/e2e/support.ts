import { startSandbox, type Sandbox, type SandboxOptions } from '../../src/sandbox/control/sandbox.ts';
import type { TenantDescription } from '../../src/sandbox/world/description.ts';
import { demoWorld } from '../../src/sandbox/world/demo.ts';

/** An answer of the API, the gate or the control API. */
export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON; undefined when it is none. */
  readonly json: unknown;
}

/** A sandbox of the demo's organisations on free ports, on SQLite unless `environment` says otherwise. */
export function startDemoSandbox(
  environment: SandboxOptions['environment'] = { ...process.env, DATABASE_URL: undefined },
): Promise<Sandbox> {
  return startSandbox({ definition: demoWorld, ports: 'auto', environment });
}

/** Sends a request, without following redirects. */
export async function request(
  method: string,
  url: string,
  options: {
    readonly token?: string | undefined;
    readonly body?: unknown;
    readonly headers?: Readonly<Record<string, string>>;
  } = {},
): Promise<Reply> {
  const { token, body, headers } = options;
  const response = await fetch(url, {
    method,
    redirect: 'manual',
    signal: AbortSignal.timeout(60_000),
    headers: {
      ...(body === undefined || body instanceof URLSearchParams ? {} : { 'content-type': 'application/json' }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: body instanceof URLSearchParams ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: response.status, headers: response.headers, text, json };
}

/** A tenant of the sandbox. */
export function tenantIn({ description }: Sandbox, id: string): TenantDescription {
  const tenant = description.tenants[id];
  if (tenant === undefined) throw new Error(`no tenant ${id}`);
  return tenant;
}

/** A call to the API with the tenant's own EHR key; `path` is below the tenant. */
export function api(
  sandbox: Sandbox,
  tenant: string,
  method: string,
  path: string,
  options: { readonly body?: unknown; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<Reply> {
  const { apiKey } = tenantIn(sandbox, tenant);
  return request(method, `${sandbox.description.internal}/api/v1/tenants/${tenant}${path}`, { token: apiKey, ...options });
}

/** A call to the control API. */
export function control(sandbox: Sandbox, method: string, path: string, body?: unknown): Promise<Reply> {
  return request(method, `${sandbox.description.control}${path}`, body === undefined ? {} : { body });
}

/** Asks until `holds`. @throws Error with the last answer when it did not within the time */
export async function eventually<T>(ask: () => Promise<T>, holds: (value: T) => boolean, forMs = 60_000): Promise<T> {
  const signal = AbortSignal.timeout(forMs);
  for (;;) {
    const value = await ask();
    if (holds(value)) return value;
    if (signal.aborted)
      throw new Error(`it did not come about within ${forMs} ms; last: ${JSON.stringify(value).slice(0, 2000)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
