// A bucket of a real S3 server, the Versity gateway on a folder, for one test.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryFolder } from './files.mjs';
import { Program, tool } from './program.mjs';
import { freePort } from './server.mjs';

/** What the gateway takes as its one key. */
export const ACCESS_KEY = 'windlass-test';
export const SECRET_KEY = 'not-a-secret-but-a-test';
export const BUCKET = 'uploads';

/** Starts the gateway with one empty bucket. */
export async function startBucket(t) {
  const folder = (await temporaryFolder(t)).path;
  const [objects, attributes] = [join(folder, 'objects'), join(folder, 'attributes')];
  await mkdir(join(objects, BUCKET), { recursive: true });
  await mkdir(attributes);
  const port = await freePort();
  const args = ['--port', `127.0.0.1:${port}`, '--region', 'us-east-1', '--access', ACCESS_KEY, '--secret', SECRET_KEY];
  args.push('--keep-alive', '--quiet', 'posix', '--sidecar', attributes, objects);
  const program = await Program.start(t, tool('versitygw'), args, port);
  return { address: `127.0.0.1:${port}`, program };
}
