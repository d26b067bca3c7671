// The stock SDKs for Python, tuspy and centrifuge-python, against the real server.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MIB, randomFile } from './support/files.mjs';
import { downloadedSha256, readTask, taskOf } from './support/http.mjs';
import { startPython } from './support/python.mjs';
import { startServer } from './support/server.mjs';
import { assertWatched, startWatchedUpload } from './support/watched.mjs';

test('tuspy uploads a file whole', async (t) => {
  const server = await startServer(t);
  const file = await randomFile(t, 20 * MIB);
  const lines = await startPython(t, 'tuspy_upload.py', [`${server.origin}/files/`, file.path]).ended();
  assert.deepEqual(lines.map(({ offset }) => offset), [file.size]);
  assert.equal(await downloadedSha256(lines[0].url), file.sha256);
});

test('tuspy uploads a file in chunks', async (t) => {
  const server = await startServer(t);
  const file = await randomFile(t, 10 * MIB + 1);
  const script = startPython(t, 'tuspy_upload.py', [`${server.origin}/files/`, file.path, '--chunk-size', 3 * MIB]);
  const lines = await script.ended();
  assert.deepEqual(lines.map(({ offset }) => offset), [3 * MIB, 6 * MIB, 9 * MIB, file.size]);
  assert.equal(await downloadedSha256(lines[0].url), file.sha256);
});

test('tuspy goes on in a new process where the first one ended', async (t) => {
  const server = await startServer(t);
  const file = await randomFile(t, 12 * MIB);
  const common = [`${server.origin}/files/`, file.path, '--chunk-size', 2 * MIB];
  const [{ url }] = await startPython(t, 'tuspy_upload.py', [...common, '--chunks', 3]).ended();
  assert.equal((await readTask(server, taskOf(url))).offset, 6 * MIB);

  const lines = await startPython(t, 'tuspy_upload.py', [...common, '--url', url]).ended();
  assert.deepEqual(lines.map(({ offset }) => offset), [6, 8, 10, 12].map((count) => count * MIB));
  assert.equal(await downloadedSha256(url), file.sha256);
});

test('tuspy goes on by itself after the server was killed and started again', async (t) => {
  const server = await startServer(t);
  const file = await randomFile(t, 12 * MIB);
  const args = [`${server.origin}/files/`, file.path, '--chunk-size', 4 * MIB, '--stepwise'];
  const script = startPython(t, 'tuspy_upload.py', args);
  const { url, offset } = await script.line('the first chunk', () => true);
  assert.ok(offset > 0 && offset < file.size);

  await server.kill();
  // The second chunk is sent to nobody; the SDK retries until the server is there again.
  script.say();
  await server.start();
  script.say();
  const lines = await script.ended();
  assert.deepEqual(lines.map((line) => [line.url, line.offset]), [4, 8, 12].map((count) => [url, count * MIB]));
  assert.equal(await downloadedSha256(url), file.sha256);
});

test('centrifuge-python watches a task across a kill of the server', async (t) => {
  const server = await startServer(t);
  const upload = await startWatchedUpload(t, server);
  const script = startPython(t, 'centrifuge_watch.py', [`${server.webSocketOrigin}/connection/websocket`, upload.id]);
  await script.line('the subscription', ({ state }) => state === 'subscribed');
  await upload.step();
  await script.line('a value in the middle', ({ progress }) => progress > 0 && progress < 100);
  await server.kill();
  await server.start();
  await upload.finish();

  const lines = await script.ended();
  assert.equal(lines.filter(({ state }) => state === 'connected').length, 2);
  assertWatched(lines.filter((line) => 'progress' in line).map(({ progress }) => progress));
});

for (const encoding of ['json', 'protobuf']) {
  test(`centrifuge-python publishes in ${encoding}, and a subscriber gets everything once and in order`, async (t) => {
    const server = await startServer(t);
    const args = [`${server.webSocketOrigin}/connection/websocket`, 'chat:python', encoding];
    const [result] = await startPython(t, 'centrifuge_publish.py', args).ended();
    const all = Array.from({ length: 20 }, (_, number) => number);
    assert.deepEqual(result, { heard: all, history: all, offset: 20, clients: 2 });
  });
}
