// The clients' own record, tried on a server that is killed while it is kept.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startServer } from './support/server.mjs';
import { within } from './support/wait.mjs';

/** Milliseconds; the machine may be slow. */
const LONG = 240_000;
const UPLOADS = 4;
const LISTENERS = 10;
/** Bytes: five seconds of a client's line, so that uploads are under way whenever something is done. */
const SIZE = 3_000_000;
const CONFIG = [
  'push:',
  '  channels: { allow_subscribe_for_client: true, history_size: 1000, history_ttl: 10m, force_recovery: true }',
  '',
].join('\n');

test('a record says what clients met, and that nothing was broken', { timeout: LONG }, async (t) => {
  const server = await startServer(t, { config: CONFIG });
  const record = start(t, server);
  assert.deepEqual(await record.answer(), { ready: true });

  record.say('begin nothing');
  assert.deepEqual(await record.answer(), { began: 'nothing' });
  record.say('end');
  const quiet = await record.answer();
  assert.deepEqual([quiet.name, quiet.errors, quiet.restarts, quiet.reconnects, quiet.unrecovered], ['nothing', 0, 0, 0, 0]);

  record.say('begin a kill');
  await record.answer();
  await server.kill();
  await server.start();
  record.say('end');
  const killed = await record.answer();
  assert.deepEqual([killed.name, killed.errors, killed.restarts], ['a kill', 0, 0]);
  assert.ok(killed.reconnects >= LISTENERS && killed.peakReconnectRate <= killed.reconnects, JSON.stringify(killed));
  // A process alone forgets its channels with its death: each listener with a history hears of that once, and no more often.
  assert.ok(killed.unrecovered <= LISTENERS, JSON.stringify(killed));

  record.say('finish');
  const total = await record.answer();
  assert.ok(total.finished && total.completed >= UPLOADS && total.published > 0, JSON.stringify(total));
  assert.equal(await record.end(), 0);
});

test('a record fails when uploads began again', { timeout: LONG }, async (t) => {
  const server = await startServer(t, { config: CONFIG });
  const record = start(t, server);
  await record.answer();
  // Another disk, where no upload is known: each has to begin again.
  await server.kill();
  const other = await startServer(t, { config: CONFIG, port: new URL(server.origin).port });
  assert.equal(other.origin, server.origin);
  record.say('finish');
  assert.equal(await record.end(), 1);
  assert.match(record.complaints, /a creation after a Location/);
});

/** The program with few clients; `answer` is its next line. */
function start(t, server) {
  const program = fileURLToPath(new URL('record.mjs', import.meta.url));
  const args = ['--upload', server.origin, '--push', server.origin, '--uploads', UPLOADS, '--listeners', LISTENERS, '--channels', 2, '--size', SIZE];
  const child = spawn(process.execPath, [program, ...args], { stdio: 'pipe' });
  t.after(() => child.kill('SIGKILL'));
  const exited = once(child, 'exit');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const record = {
    complaints: '',
    say: (line) => child.stdin.write(`${line}\n`),
    answer: async () => JSON.parse((await within('an answer of the record', lines.next(), LONG)).value),
    end: async () => (await within('the end of the record', exited, LONG))[0],
  };
  child.stderr.setEncoding('utf8').on('data', (text) => (record.complaints += text));
  return record;
}
