// Uppy's core and tus plugin without its interface; docs/examples drives it in a browser.

import Uppy from '@uppy/core';
import Tus from '@uppy/tus';
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { KIB, MIB, randomFile } from './support/files.mjs';
import { downloadedSha256 } from './support/http.mjs';
import { startServer } from './support/server.mjs';
import { within } from './support/wait.mjs';

test('Uppy uploads five files at once', async (t) => {
  const server = await startServer(t);
  const uppy = new Uppy({ autoProceed: false }).use(Tus, { endpoint: `${server.origin}/files/`, chunkSize: 4 * MIB });
  t.after(() => uppy.destroy());
  const files = await addFiles(t, uppy, [11 * MIB, 5 * MIB, 64 * KIB, 1, 8 * MIB + 1]);

  const result = await within('the uploads', uppy.upload());

  assert.deepEqual(result.failed.map(({ error }) => error), []);
  assert.equal(result.successful.length, files.length);
  for (const { progress } of result.successful) assert.equal(progress.percentage, 100);
  for (const done of result.successful) {
    const source = files.find(({ name }) => name === done.name);
    assert.equal(await downloadedSha256(new URL(done.uploadURL, server.origin)), source.sha256);
  }
});

test('Uppy pauses and resumes one file while others go on', async (t) => {
  const server = await startServer(t);
  const uppy = new Uppy({ autoProceed: false }).use(Tus, { endpoint: `${server.origin}/files/`, chunkSize: MIB, limit: 2 });
  t.after(() => uppy.destroy());
  const files = await addFiles(t, uppy, [12 * MIB, 6 * MIB]);
  const first = uppy.getFiles().find(({ name }) => name === files[0].name).id;
  const paused = new Promise((resolve) => {
    uppy.on('upload-progress', (file, { bytesUploaded }) => {
      if (file.id !== first || bytesUploaded < 3 * MIB || uppy.getFile(first).isPaused !== undefined) return;
      uppy.pauseResume(first);
      resolve();
    });
  });
  const uploads = uppy.upload();
  await within('the pause', paused);
  assert.equal(uppy.getFile(first).isPaused, true);
  uppy.pauseResume(first);

  const result = await within('the uploads', uploads);
  assert.equal(result.successful.length, files.length);
  for (const done of result.successful) {
    const source = files.find(({ name }) => name === done.name);
    assert.equal(await downloadedSha256(new URL(done.uploadURL, server.origin)), source.sha256);
  }
});

async function addFiles(t, uppy, sizes) {
  const files = [];
  for (const [index, size] of sizes.entries()) {
    const file = await randomFile(t, size, `film-${index}.bin`);
    const data = await readFile(file.path);
    uppy.addFile({ name: file.name, type: 'application/octet-stream', data, size });
    files.push(file);
  }
  return files;
}
