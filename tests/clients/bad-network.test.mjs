// Stock clients and `windlass put` through toxiproxy: slow, jittery, sliced, cut and silent lines. Whatever the line does,
// the upload completes, is created once, and no offset that a client was shown is ever taken back.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KIB, MIB, randomFile } from './support/files.mjs';
import { downloadedSha256, request } from './support/http.mjs';
import { put } from './support/put.mjs';
import { startPython } from './support/python.mjs';
import { startServer } from './support/server.mjs';
import { startProxy } from './support/toxiproxy.mjs';
import { RETRY_DELAYS, assertOnce, startUpload, watched } from './support/tus.mjs';
import { within } from './support/wait.mjs';

/** Milliseconds; some lines are slow on purpose. */
const LONG = 120_000;
/** The server waits less for a silent body than it would, so that a dead line is given up soon. */
const CONFIG = 'upload:\n  checkpoint: 50ms\n  idleTimeout: 5s\n';

const both = (toxic) => ['upstream', 'downstream'].map((stream) => ({ ...toxic, stream }));
const LINES = {
  'latency and jitter': both({ type: 'latency', attributes: { latency: 30, jitter: 25 } }),
  'little bandwidth': [{ type: 'bandwidth', attributes: { rate: 2_000 } }],
  'data in slices': both({ type: 'slicer', attributes: { average_size: 1_400, size_variation: 700, delay: 20 } }),
  'a slow close': both({ type: 'slow_close', attributes: { delay: 200 } }),
  // Each connection ends after so many bytes, wherever that is.
  'connections that end early': [{ type: 'limit_data', attributes: { bytes: 900 * KIB } }],
  // Answers too: a client may not learn what became of what it sent.
  'answers that end early': [{ type: 'limit_data', stream: 'downstream', attributes: { bytes: 700 } }],
  // Of the connections one half is reset or falls silent.
  'connections that are reset': [{ type: 'reset_peer', toxicity: 0.5, attributes: { timeout: 50 } }],
  'connections that fall silent': [{ type: 'timeout', toxicity: 0.5, attributes: { timeout: 150 } }],
};

for (const [line, toxics] of Object.entries(LINES)) {
  test(`tus-js-client completes through ${line}`, async (t) => {
    const { server, proxy, file } = await behind(t, toxics);
    const upload = startUpload(proxy, file, { ...watched(), chunkSize: 700 * KIB, retryDelays: RETRY_DELAYS });
    const url = await within('the upload', upload.done, LONG);
    assertOnce(upload);
    assert.equal(await downloadedSha256(atServer(server, url)), file.sha256);
  });

  test(`tuspy completes through ${line}`, async (t) => {
    const { server, proxy, file } = await behind(t, toxics);
    // Its creation is not repeated by the SDK, so it is made on a good line.
    const headers = { 'Tus-Resumable': '1.0.0', 'Upload-Length': file.size };
    const { location } = (await request('POST', `${server.origin}/files/`, { headers })).headers;
    const url = `${proxy.origin}${location}`;
    const offsets = await tuspy(t, proxy, file, url);
    assert.deepEqual(offsets, [...offsets].sort((a, b) => a - b), 'the offset never falls');
    assert.equal(await downloadedSha256(`${server.origin}${location}`), file.sha256);
  });

  test(`windlass put completes through ${line}`, async (t) => {
    const { server, proxy, file } = await behind(t, toxics);
    const { code, out, err } = await put(t, file, proxy.origin);
    assert.equal(code, 0, err);
    const { location } = JSON.parse(out);
    assert.equal(await downloadedSha256(atServer(server, new URL(location, server.origin).href)), file.sha256);
  });
}

test('tus-js-client completes though its connection is reset again and again', async (t) => {
  const { server, proxy, file } = await behind(t, [{ type: 'bandwidth', attributes: { rate: 6_000 } }]);
  const upload = startUpload(proxy, file, { ...watched(), retryDelays: RETRY_DELAYS });
  const url = await within('the creation', upload.url);
  let ended = false;
  upload.done.finally(() => (ended = true)).catch(() => {});
  let resets = 0;
  for (let known = 0; !ended && resets < 8; resets += 1) {
    known = await advanced(server, url, known, () => ended);
    await proxy.add({ name: 'reset', type: 'reset_peer', attributes: { timeout: 0 } });
    await proxy.remove('reset');
  }
  await within('the upload', upload.done, LONG);
  assert.ok(resets > 2, `${resets} resets`);
  assertOnce(upload);
  assert.equal(await downloadedSha256(atServer(server, url)), file.sha256);
});

async function behind(t, toxics) {
  const server = await startServer(t, { config: CONFIG });
  const proxy = await startProxy(t, server.origin);
  const file = await randomFile(t, 4 * MIB + 321);
  for (const toxic of toxics) await proxy.add(toxic);
  return { server, proxy, file };
}

/** The same upload without the proxy. */
function atServer(server, url) {
  return server.origin + new URL(url).pathname;
}

/** Waits until the upload stands beyond `known`, as its task tells without disturbing who writes it. */
async function advanced(server, url, known, over) {
  const id = new URL(url).pathname.split('/')[3];
  for (;;) {
    const task = (await request('GET', `${server.origin}/tasks/${id}`)).json();
    if (task.offset > known || over()) return task.offset;
  }
}

/** tuspy again and again, as its users do when it gives up: a new process goes on where the last one ended. */
async function tuspy(t, proxy, file, url) {
  const offsets = [];
  const args = [`${proxy.origin}/files/`, file.path, '--chunk-size', 700 * KIB, '--url', url];
  for (let tries = 0; tries < 40; tries += 1) {
    const script = startPython(t, 'tuspy_upload.py', args);
    const ended = await within('tuspy ends', script.ended(LONG).then(() => true, () => false), LONG);
    offsets.push(...script.lines.map(({ offset }) => offset));
    if (ended) return offsets;
  }
  throw new Error('tuspy gave up forty times');
}
