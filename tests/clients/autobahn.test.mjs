// The Autobahn cases against the push service's own framing, each with its verdict: 1 to 10 (RFC 6455), and of 12 and 13
// (permessage-deflate, RFC 7692) those of four sizes, for each case of these sends a thousand messages.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { startPython } from './support/python.mjs';
import { within } from './support/wait.mjs';

/** How many cases each chapter has. */
const CHAPTERS = { 1: 16, 2: 11, 3: 7, 4: 10, 5: 20, 6: 145, 7: 37, 9: 54, 10: 1 };
/** A text that is not UTF-8 is refused at the message's end and not in its middle, which RFC 6455 leaves open. */
const NOT_STRICT = ['6.4.1', '6.4.2', '6.4.3', '6.4.4'];
/** What the suite only looks at: what a server does is its own affair. */
const INFORMATIONAL = ['7.1.6', '7.13.1', '7.13.2'];

/** Each of these offers another kind of data (12), or other parameters (13). */
const COMPRESSIONS = { 12: 5, 13: 7 };
/** Of its 18 cases: 16 bytes, 1 KiB, 32 KiB, and 8 KiB in fragments. */
const SIZES = [1, 4, 8, 11];

async function startEcho(t) {
  const binary = process.env.WINDLASS_ECHO;
  if (!binary) throw new Error('WINDLASS_ECHO must name the built example websocket_echo of windlass-push');
  const child = spawn(binary, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const [line] = await within('the echo is ready', once(createInterface({ input: child.stdout }), 'line'));
  return line.replace(/^ready on http/, 'ws');
}

test('every Autobahn case of chapters 1 to 10 has the verdict that it must have', async (t) => {
  const url = await startEcho(t);
  const cases = Object.keys(CHAPTERS).map((chapter) => `${chapter}.*`);
  // Chapter 9 sends up to 16 MiB in one message, and a MiB in pieces of 64 bytes.
  const results = await startPython(t, 'autobahn.py', [url, ...cases]).ended(480_000);

  const counts = {};
  for (const { id } of results) counts[id.split('.')[0]] = (counts[id.split('.')[0]] ?? 0) + 1;
  assert.deepEqual(counts, CHAPTERS);
  const expected = (id) => {
    if (INFORMATIONAL.includes(id)) return 'INFORMATIONAL';
    return NOT_STRICT.includes(id) ? 'NON-STRICT' : 'OK';
  };
  const wrong = results.filter(({ id, behavior }) => behavior !== expected(id));
  assert.deepEqual(wrong, []);
  const unclean = results.filter(({ id, close }) => close !== (INFORMATIONAL.includes(id) ? 'INFORMATIONAL' : 'OK'));
  assert.deepEqual(unclean, []);
});

test('the Autobahn cases of permessage-deflate have the verdict that they must have', async (t) => {
  const url = await startEcho(t);
  const kinds = Object.entries(COMPRESSIONS).flatMap(([chapter, count]) =>
    Array.from({ length: count }, (_, index) => `${chapter}.${index + 1}`));
  const cases = kinds.flatMap((kind) => SIZES.map((size) => `${kind}.${size}`));
  const results = await startPython(t, 'autobahn.py', [url, ...cases]).ended(240_000);
  assert.deepEqual(results.map(({ id }) => id).sort(), cases.sort());
  assert.deepEqual(results.filter(({ behavior, close }) => behavior !== 'OK' || close !== 'OK'), []);
});
