/** @type {import('jest').Config} */
export default {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/test/**/*.test.ts', '<rootDir>/usecases/**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/test/interop/'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': '<rootDir>/test/support/strip-types.js' },
  moduleNameMapper: { '^sluis/usecase$': '<rootDir>/src/usecase/index.ts' },
  // Two cores; a worker that grows past this is replaced, because ESM modules are never unloaded.
  maxWorkers: 2,
  workerIdleMemoryLimit: '1GB',
  // Far from what a test needs: it ends one that hangs, and no one that runs on a slow machine.
  testTimeout: 120_000,
};
