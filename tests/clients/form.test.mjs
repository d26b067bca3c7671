// `multipart/form-data` as any page or HTTP library sends it.

import assert from 'node:assert/strict';
import { openAsBlob } from 'node:fs';
import { test } from 'node:test';
import { KIB, MIB, randomFile } from './support/files.mjs';
import { downloadedSha256, readTask } from './support/http.mjs';
import { startServer } from './support/server.mjs';

test('one form carries many files, and each becomes a task of its own', async (t) => {
  const server = await startServer(t);
  const sizes = [0, 1, 17 * MIB, 64 * KIB, 3 * MIB + 7, 999];
  const files = await Promise.all(sizes.map((size, index) => randomFile(t, size, `bild ${index} – ü.bin`)));
  const form = new FormData();
  form.append('comment', 'a field that is no file');
  for (const file of files) form.append('files', await openAsBlob(file.path), file.name);

  const answer = await fetch(`${server.origin}/files/`, { method: 'POST', body: form });

  assert.equal(answer.status, 201);
  const { files: stored } = await answer.json();
  assert.deepEqual(stored.map(({ name }) => name), files.map(({ name }) => name));
  assert.equal(new Set(stored.map(({ taskId }) => taskId)).size, files.length);
  for (const [index, { taskId, location }] of stored.entries()) {
    const task = await readTask(server, taskId);
    assert.deepEqual([task.status, task.length], ['completed', files[index].size]);
    assert.equal(await downloadedSha256(new URL(location, server.origin)), files[index].sha256);
  }
});

test('a form without a file is refused in words', async (t) => {
  const server = await startServer(t);
  const form = new FormData();
  form.append('comment', 'nothing else');
  const answer = await fetch(`${server.origin}/files/`, { method: 'POST', body: form });
  assert.equal(answer.status, 400);
  assert.match(answer.headers.get('content-type'), /^application\/problem\+json/);
  assert.ok((await answer.json()).detail.length > 0);
});
