import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

let parent = '';
beforeAll(() => {
  parent = mkdtempSync(join(tmpdir(), 'sluis-load-'));
});
afterAll(() => {
  rmSync(parent, { recursive: true });
});

/** A folder whose use case has these fields besides what each must have. */
function folderOf(name: string, fields: string): string {
  const folder = join(parent, name);
  mkdirSync(folder);
  const must = `id: '${name}', title: 'T', roles: [{ id: 'r', purpose: 'p' }], parseConfig: () => undefined, decide: () => undefined`;
  writeFileSync(join(folder, 'index.js'), `export default { ${must}, ${fields} };\n`);
  writeFileSync(join(parent, 'package.json'), '{"type":"module"}');
  return folder;
}

/** In a process of its own: the loader resolves `sluis/usecase` for the process that it runs in. */
function load(folder: string): string {
  const loader = new URL('../../src/usecase/load.ts', import.meta.url).href;
  const code = `const { loadUseCases } = await import(${JSON.stringify(loader)});
    try { console.log('loaded', (await loadUseCases([${JSON.stringify(folder)}]))[0].id); } catch (error) { console.log(error.message); }`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', code], { encoding: 'utf8' });
  return stdout.trim();
}

describe('the folder of a use case', () => {
  it('is loaded with all the parts that there are', () => {
    const parts = 'writes: [], reviews: [], filters: [], answers: [], inbound: [], api: [], jobs: []';
    expect(load(folderOf('whole', parts))).toBe('loaded whole');
  });

  it('is not loaded with a part that nobody would read, and is told which ones there are', () => {
    expect(load(folderOf('mistyped', 'filter: [{ name: "f", keeps: () => true }]'))).toMatch(
      /mistyped.index\.js does not export a use case.*"filter"; there are id title roles parseConfig decide writes reviews filters /,
    );
  });

  it('is not loaded with a part that is no list', () => {
    expect(load(folderOf('single', 'filters: {}'))).toMatch(/: filters: /);
  });
});
