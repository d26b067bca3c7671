// `windlass put`, as a person runs it.

import { spawn } from 'node:child_process';
import { dirname } from 'node:path';
import { deferred, within } from './wait.mjs';

/** Milliseconds; what it goes through may be slow on purpose. */
const LONG = 240_000;

/** Uploads a file to `origin` and waits for the end; what it remembers lies beside the file. */
export async function put(t, file, origin) {
  const args = ['put', file.path, '--to', origin, '--json', '--retries', '200'];
  const env = { ...process.env, XDG_STATE_HOME: dirname(file.path) };
  const child = spawn(process.env.WINDLASS_BIN, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
  t.after(() => child.kill('SIGKILL'));
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (err += text));
  const closed = deferred();
  child.once('close', (code) => closed.resolve(code));
  return { code: await within('windlass put ends', closed.promise, LONG), out, err };
}
