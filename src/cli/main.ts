import { Command, InvalidArgumentError } from 'commander';
import { join } from 'node:path';
import { ConfigError, loadConfig, type Config } from '../config.ts';
import { runAuditVerify } from './audit.ts';
import { listJobs, retryJob } from './jobs.ts';
import { explainRequest, type ExplainArguments } from './explain.ts';
import { createKey, listKeys, revokeKey, type KeyRole } from './apikey.ts';

// The `sluis` command: what an operator does beside the running gateway.

const print = (line: string): void => {
  console.log(line);
};

const program = new Command('sluis')
  .description(
    'Operator commands of a Sluis gateway. They read the same configuration as the gateway: sluis.yaml, or the file in SLUIS_CONFIG.',
  )
  .showHelpAfterError('(sluis --help shows what there is)');

const apikey = program.command('apikey').description('keys for the API of the internal listener');

apikey
  .command('create')
  .description('Makes a key and prints it once; only its hash is stored.')
  .option(
    '--tenant <id>',
    "the tenant that the key is for; without it the key is the host operator's, for all tenants (role operator only)",
  )
  .requiredOption('--role <role>', 'ehr (steer use cases) or operator (read the audit, explain)', parseRole)
  .option('--label <text>', 'a name by which you will know it')
  .addHelpText('after', '\nExample:\n  npx sluis apikey create --tenant ziekenhuis-oost --role ehr --label "EHR production"')
  .action(async (options: { readonly tenant?: string; readonly role: KeyRole; readonly label?: string }) => {
    await run((config) => createKey(config, options, print));
  });

apikey
  .command('list')
  .description('Lists keys, without their secrets.')
  .option('--tenant <id>', 'only of this tenant')
  .action(async (options: { readonly tenant?: string }) => {
    await run((config) => listKeys(config, options, print));
  });

apikey
  .command('revoke')
  .description('Ends a key at once.')
  .argument('<id>', 'as `apikey list` shows it')
  .option('--tenant <id>', "whose key it is; without it the host operator's")
  .action(async (id: string, options: { readonly tenant?: string }) => {
    await run((config) => revokeKey(config, { id, ...options }, print));
  });

const jobs = program.command('jobs').description('jobs that gave up and wait for a person');

jobs
  .command('list')
  .description('Lists jobs that gave up, with their last reason.')
  .option('--tenant <id>', 'only of this tenant')
  .action(async (options: { readonly tenant?: string }) => {
    await run((config) => listJobs(config, options, print));
  });

jobs
  .command('retry')
  .description('Lets a job that gave up try again.')
  .argument('<tenant>', 'whose job it is')
  .argument('<use case>', 'this and the next two as `jobs list` shows them')
  .argument('<name>')
  .argument('<key>')
  .action(async (tenant: string, useCase: string, name: string, key: string) => {
    await run((config) => retryJob(config, { tenant, useCase, name, key }, print));
  });

program
  .command('audit')
  .description('the audit journal')
  .command('verify')
  .description(
    'Checks every hash chain of the journal and names the first broken link and its records. Exit code 0: whole, 1: broken, 2: not readable.',
  )
  .option('--directory <path>', 'the journal; default: the one of the configuration')
  .action(async (options: { readonly directory?: string }) => {
    process.exitCode = await run((config) => runAuditVerify(options.directory ?? journalDirectory(config()), print));
  });

program
  .command('explain')
  .description(
    'Shows what the running gateway would do with a FHIR request: each stage, each rule, what matched and what was missing, what a write is held against, and each entry of a Bundle. Nothing is sent; what has to be looked up is audited. Exit code 0 whatever the judgement, 1: there is none.',
  )
  .requiredOption('--tenant <id>', 'whose gate')
  .requiredOption('--token-file <file>', 'a file with the access token alone; it is neither kept nor logged')
  .option(
    '--body-file <file>',
    'the form of a search by POST, the resource of a write, a Bundle, the steps of a patch, or Parameters',
  )
  .option(
    '--header <name: value>',
    'a header of the request, as often as needed: If-Match: W/"3", If-None-Exist, Prefer, Content-Type',
    (header: string, before: readonly string[] | undefined) => [...(before ?? []), header],
  )
  .option('--accept <media type>', 'the header Accept of the request')
  .option('--url <url>', 'the internal listener; default: the one of the configuration')
  .option('--json', 'the explanation as JSON')
  .argument('<method>', 'GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS')
  .argument('<target>', 'path and query below the FHIR base')
  .addHelpText(
    'after',
    [
      '',
      'Examples:',
      "  npx sluis explain --tenant ziekenhuis-oost --token-file token.txt -- GET '/Task/1'",
      `  npx sluis explain --tenant ziekenhuis-oost --token-file token.txt --header 'If-Match: W/"3"' --body-file steps.json -- PATCH '/Observation/1'`,
      "  npx sluis explain --tenant ziekenhuis-oost --token-file token.txt --body-file bundle.json -- POST '/'",
    ].join('\n'),
  )
  .action(async (method: string, target: string, options: ExplainArguments) => {
    await run((config) => explainRequest(config, options, [method, target], print));
  });

await program.parseAsync();

/** Runs a command with the configuration at hand; a fault of it is told as the gateway tells it. */
async function run<T>(command: (config: () => Config) => Promise<T>): Promise<T | 1> {
  try {
    return await command(() => loadConfig());
  } catch (error) {
    console.error(error instanceof ConfigError || error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
    return 1;
  }
}

function journalDirectory(config: Config): string {
  return join(config.dataDirectory, 'audit');
}

function parseRole(text: string): KeyRole {
  if (text === 'ehr' || text === 'operator') return text;
  throw new InvalidArgumentError('must be ehr or operator.');
}
