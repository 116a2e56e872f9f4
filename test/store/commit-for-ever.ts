// A process to be killed: commits a record with its job again and again, and says so after each commit.
import { createLogger } from '../../src/log.ts';
import { openDatabase } from '../../src/store/database.ts';
import { insertRecord } from '../../src/store/records.ts';

const [location = '', prefix = ''] = process.argv.slice(2);
const { directory, url, schema } = JSON.parse(location) as { directory: string; url?: string; schema?: string };
const database = await openDatabase({
  directory,
  ...(url === undefined ? {} : { url }),
  ...(schema === undefined ? {} : { schema }),
  logger: createLogger('silent'),
});
for (let index = 0; ; index += 1) {
  const id = `${prefix}-${index}`;
  const now = new Date();
  await database.transaction(async (tx) => {
    await insertRecord(
      tx,
      { tenant: 'a', useCase: 'u', kind: 'k' },
      { id, state: 'x'.repeat(2_000), keys: [{ name: 'n', value: id, unique: true }], now },
    );
    // A second table, so that half a commit would show.
    const [at, far] = [now.toISOString(), '9999-12-31T00:00:00.000Z'];
    const job = {
      tenant: 'a',
      use_case: 'u',
      name: 'n',
      key: id,
      id,
      state: 'pending',
      payload_json: 'null',
      run_at: far,
      enqueued_at: at,
      updated_at: at,
    } as const;
    await tx.query.insertInto('job').values(job).execute();
  });
  process.stdout.write(`${id}\n`);
}
