// Part of `npm run check`: the routes that are mounted with the use cases of this repository and `openapi.yaml` say the same, both ways, and
// every code of `errors.ts` stands in it.
import { resolve } from 'node:path';
import { ERROR_CODES } from '../src/errors.ts';
import { compareRoutes, loadApiDescription } from '../src/http/api/description.ts';
import { apiRoutes, toDescribed } from '../src/http/api/router.ts';
import { loadUseCases, useCaseFoldersIn } from '../src/usecase/load.ts';

const description = loadApiDescription();
const useCases = await loadUseCases(useCaseFoldersIn(resolve(import.meta.dirname, '../usecases')));
const { undescribed, unmounted } = compareRoutes(apiRoutes(useCases).map(toDescribed), description);
const faults = [
  ...undescribed.map((line) => `mounted, but not in openapi.yaml: ${line}`),
  ...unmounted.map((line) => `in openapi.yaml, but not mounted: ${line}`),
  ...Object.keys(ERROR_CODES)
    .filter((code) => !description.problems.has(code))
    .map((code) => `x-problem-codes lacks ${code}`),
];
for (const fault of faults) console.error(fault);
if (faults.length === 0) console.log(`openapi.yaml: ${description.operations.length} operations, all mounted, and none besides`);
process.exitCode = faults.length === 0 ? 0 : 1;
