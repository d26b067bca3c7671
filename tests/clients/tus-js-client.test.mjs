// The stock tus-js-client against the real server.

import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import * as tus from 'tus-js-client';
import { KIB, MIB, randomFile, temporaryFolder } from './support/files.mjs';
import { Gate } from './support/gate.mjs';
import { downloadedSha256, readOffset, readTask, request, taskOf } from './support/http.mjs';
import { startServer } from './support/server.mjs';
import { RETRY_DELAYS, stackThrough, startUpload } from './support/tus.mjs';
import { until, within } from './support/wait.mjs';

test('a 64 MiB file goes up in one PATCH', async (t) => {
  const server = await startServer(t);
  const file = await randomFile(t, 64 * MIB);
  const upload = startUpload(server, file);
  const url = await within('the upload', upload.done);

  assert.deepEqual(upload.requests.map(({ method, offset }) => [method, offset]), [['POST', undefined], ['PATCH', 0]]);
  assert.deepEqual(upload.progress.at(-1), [file.size, file.size]);
  assert.equal(await downloadedSha256(url), file.sha256);
  const task = await readTask(server, taskOf(url));
  assert.deepEqual([task.status, task.progress, task.offset, task.length], ['completed', 100, file.size, file.size]);
});

test('a 64 MiB file goes up in chunks of 5 MiB', async (t) => {
  const server = await startServer(t);
  const file = await randomFile(t, 64 * MIB);
  const upload = startUpload(server, file, { chunkSize: 5 * MIB });
  const url = await within('the upload', upload.done);

  const offsets = upload.requests.filter(({ method }) => method === 'PATCH').map(({ offset }) => offset);
  assert.deepEqual(offsets, Array.from({ length: 13 }, (_, index) => index * 5 * MIB));
  assert.equal(await downloadedSha256(url), file.sha256);
});

test('an empty file is complete when it is created', async (t) => {
  const server = await startServer(t);
  const file = await randomFile(t, 0);
  const upload = startUpload(server, file);
  const url = await within('the upload', upload.done);

  assert.equal((await readTask(server, taskOf(url))).status, 'completed');
  assert.equal(await downloadedSha256(url), file.sha256);
});

test('a stream whose length nobody knows goes up with its length deferred', async (t) => {
  const server = await startServer(t);
  const file = await randomFile(t, 12 * MIB + 345);
  // A plain readable, because the SDK asks a file for its size.
  const source = { name: file.name, data: createReadStream(file.path).pipe(new PassThrough()) };
  const upload = startUpload(server, source, { uploadLengthDeferred: true, chunkSize: 5 * MIB, start: false });
  upload.upload.start();
  const url = await within('the creation', upload.url);
  const task = await readTask(server, taskOf(url));
  assert.equal(task.length === null || task.length === file.size, true, `length ${task.length}`);
  await within('the upload', upload.done);

  assert.equal((await readTask(server, taskOf(url))).length, file.size);
  assert.equal(await downloadedSha256(url), file.sha256);
});

test('a creation that carries the whole file needs no PATCH', async (t) => {
  const server = await startServer(t);
  const file = await randomFile(t, 3 * MIB);
  const upload = startUpload(server, file, { uploadDataDuringCreation: true });
  const url = await within('the upload', upload.done);

  assert.deepEqual(upload.requests.map(({ method }) => method), ['POST']);
  assert.equal(await downloadedSha256(url), file.sha256);
});

test('a creation that carries the first chunk goes on where it ended', async (t) => {
  const server = await startServer(t);
  const file = await randomFile(t, 7 * MIB);
  const upload = startUpload(server, file, { uploadDataDuringCreation: true, chunkSize: 3 * MIB });
  const url = await within('the upload', upload.done);

  assert.deepEqual(upload.requests, [
    { method: 'POST', offset: undefined },
    { method: 'PATCH', offset: 3 * MIB },
    { method: 'PATCH', offset: 6 * MIB },
  ]);
  assert.equal(await downloadedSha256(url), file.sha256);
});

test('an aborted upload goes on in a new process that finds it by its fingerprint', async (t) => {
  const server = await startServer(t);
  const file = await randomFile(t, 32 * MIB);
  const storage = await (await temporaryFolder(t)).write('uploads.json', '{}');
  const gate = new Gate(12 * MIB);
  const remembered = { urlStorage: new tus.FileUrlStorage(storage) };
  const first = startUpload(server, file, { ...remembered, httpStack: stackThrough(gate) });
  const acknowledged = await acknowledgedInTheMiddle(server, await first.url, file);
  await first.upload.abort();
  gate.open();

  const second = startUpload(server, file, { urlStorage: new tus.FileUrlStorage(storage), start: false });
  const previous = await second.upload.findPreviousUploads();
  assert.equal(previous.length, 1);
  second.upload.resumeFromPreviousUpload(previous[0]);
  second.upload.start();
  const url = await within('the second half', second.done);

  assert.equal(url, first.upload.url);
  goesOnFrom(acknowledged, second.requests, file);
  assert.equal(await downloadedSha256(url), file.sha256);
});

test('an aborted upload goes on from its URL', async (t) => {
  const server = await startServer(t);
  const file = await randomFile(t, 32 * MIB);
  const gate = new Gate(12 * MIB);
  const first = startUpload(server, file, { httpStack: stackThrough(gate) });
  const acknowledged = await acknowledgedInTheMiddle(server, await first.url, file);
  await first.upload.abort();
  gate.open();

  const second = startUpload(server, file, { uploadUrl: first.upload.url });
  await within('the second half', second.done);
  goesOnFrom(acknowledged, second.requests, file);
  assert.equal(await downloadedSha256(first.upload.url), file.sha256);
});

test('a terminated upload is gone, and says so', async (t) => {
  const server = await startServer(t);
  const file = await randomFile(t, 8 * MIB);
  const gate = new Gate(3 * MIB);
  const { upload, url: created } = startUpload(server, file, { httpStack: stackThrough(gate) });
  const url = await created;
  await gate.reached;
  const terminated = upload.abort(true);
  gate.open();
  await within('the termination', terminated);

  const head = await request('HEAD', url, { headers: { 'Tus-Resumable': '1.0.0' } });
  assert.equal(head.status, 410);
  const task = await request('GET', `${server.origin}/tasks/${taskOf(url)}`);
  assert.deepEqual([task.status, task.json().code], [410, 'task_gone']);
});

test('a finished upload can be terminated with the static call', async (t) => {
  const server = await startServer(t);
  const file = await randomFile(t, 100 * KIB);
  const url = await within('the upload', startUpload(server, file).done);
  await within('the termination', tus.Upload.terminate(url));
  assert.equal((await request('GET', url)).status, 410);
});

test('the client goes on by itself after the server was killed and started again', async (t) => {
  const server = await startServer(t);
  const file = await randomFile(t, 64 * MIB);
  const gate = new Gate(24 * MIB);
  const upload = startUpload(server, file, { httpStack: stackThrough(gate), retryDelays: RETRY_DELAYS });
  const url = await upload.url;
  const acknowledged = await acknowledgedInTheMiddle(server, url, file);
  const sentBefore = upload.requests.length;

  await server.kill();
  await server.start();
  gate.open();
  await within('the upload', upload.done);

  const after = upload.requests.slice(sentBefore);
  goesOnFrom(acknowledged, after, file);
  assert.equal(upload.requests.filter(({ method }) => method === 'POST').length, 1, 'created once');
  assert.equal(await downloadedSha256(url), file.sha256);
});

test('the client goes on by itself after five kills in one upload of chunks', async (t) => {
  const server = await startServer(t);
  const file = await randomFile(t, 40 * MIB);
  let gate = new Gate(0);
  // Each connection takes the gate of its time: the SDK asks the stack anew for each request.
  const stack = new tus.DefaultHttpStack();
  stack.createRequest = (method, url) => stackThrough(gate).createRequest(method, url);
  gate.open();
  const upload = startUpload(server, file, {
    chunkSize: 3 * MIB,
    httpStack: stack,
    retryDelays: RETRY_DELAYS,
    onChunkComplete: () => {},
    start: false,
  });
  gate = new Gate(5 * MIB);
  upload.upload.start();
  const url = await upload.url;
  let acknowledged = 0;
  for (let kill = 0; kill < 5; kill += 1) {
    await within('the gate closes', gate.reached);
    const task = await until('an advance', async () => {
      const now = await readTask(server, taskOf(url));
      return now.offset > acknowledged && now;
    });
    assert.ok(task.offset < file.size);
    acknowledged = task.offset;
    await server.kill();
    const closed = gate;
    gate = new Gate(kill < 4 ? 5 * MIB : Infinity);
    await server.start();
    closed.open();
    assert.ok((await readTask(server, taskOf(url))).offset >= acknowledged, 'the offset decreased');
  }
  await within('the upload', upload.done);
  assert.equal(upload.requests.filter(({ method }) => method === 'POST').length, 1, 'created once');
  assert.equal(upload.requests.filter(({ method, offset }) => method === 'PATCH' && offset === 0).length, 1);
  assert.equal(await downloadedSha256(url), file.sha256);
});

test('of two clients on one URL the newest wins, and the stale one can do no harm', async (t) => {
  const server = await startServer(t);
  const file = await randomFile(t, 48 * MIB);
  const gate = new Gate(16 * MIB);
  const older = startUpload(server, file, { httpStack: stackThrough(gate) });
  const url = await older.url;
  const acknowledged = await acknowledgedInTheMiddle(server, url, file);

  const newer = startUpload(server, file, { uploadUrl: url });
  await within('the newer client', newer.done);
  goesOnFrom(acknowledged, newer.requests, file);

  // What the stale one still held back is now let go.
  gate.open();
  await assert.rejects(within('the end of the stale client', older.done));
  assert.equal(await readOffset(url), file.size);
  assert.equal(await downloadedSha256(url), file.sha256);
});

test('two clients that both insist on one URL both end, with the file whole', async (t) => {
  const server = await startServer(t);
  const file = await randomFile(t, 48 * MIB);
  const gate = new Gate(16 * MIB);
  const first = startUpload(server, file, { httpStack: stackThrough(gate), retryDelays: RETRY_DELAYS });
  const url = await first.url;
  await acknowledgedInTheMiddle(server, url, file);
  const second = startUpload(server, file, { uploadUrl: url, retryDelays: RETRY_DELAYS });
  gate.open();

  await within('both clients', Promise.all([first.done, second.done]));
  for (const { requests } of [first, second]) {
    const offsets = requests.filter(({ method }) => method === 'PATCH').map(({ offset }) => offset);
    assert.deepEqual(offsets, [...offsets].sort((a, b) => a - b), 'the offset never falls');
  }
  assert.equal(first.requests.filter(({ method }) => method === 'POST').length, 1, 'created once');
  assert.equal(await downloadedSha256(url), file.sha256);
});

test('many uploads at once each keep their own bytes', async (t) => {
  const server = await startServer(t);
  const files = await Promise.all(Array.from({ length: 12 }, (_, index) => randomFile(t, (index + 1) * 300 * KIB + index)));
  const urls = await Promise.all(files.map((file) => startUpload(server, file, { chunkSize: MIB }).done));
  assert.equal(new Set(urls).size, files.length);
  for (const [index, url] of urls.entries()) assert.equal(await downloadedSha256(url), files[index].sha256);
});

/** Waits until the task says that some bytes are kept and not all; the kill that follows is then in the middle. */
async function acknowledgedInTheMiddle(server, url, file) {
  const task = await until('bytes acknowledged in the middle', async () => {
    const now = await readTask(server, taskOf(url));
    return now.offset > 0 && now;
  });
  assert.ok(task.offset < file.size, 'the upload was over before anything could happen to it');
  return task.offset;
}

/** The first PATCH of `requests` starts at or after what was acknowledged, and nothing was created. */
function goesOnFrom(acknowledged, requests, file) {
  const patch = requests.find(({ method }) => method === 'PATCH');
  assert.ok(patch.offset >= acknowledged, `went on from ${patch.offset}, though ${acknowledged} were acknowledged`);
  assert.ok(patch.offset < file.size);
  assert.ok(!requests.some(({ method }) => method === 'POST'), 'a second creation');
}
