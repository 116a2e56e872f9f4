import { createHash } from 'node:crypto';
import { stripTypeScriptTypes } from 'node:module';

// Jest runs the sources as Node does: types are stripped, nothing is compiled, so that line numbers stay and tests run what ships.
export default {
  process: (source) => ({ code: stripTypeScriptTypes(source, { mode: 'strip' }) }),
  getCacheKey: (source, path) => createHash('sha256').update(process.version).update(path).update(source).digest('hex'),
};
