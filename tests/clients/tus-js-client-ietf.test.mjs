// tus-js-client in its modes of the IETF protocol (interop 5 and 6) against the real server.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MIB, randomFile } from './support/files.mjs';
import { Gate } from './support/gate.mjs';
import { downloadedSha256, readTask, taskOf } from './support/http.mjs';
import { startServer } from './support/server.mjs';
import { RETRY_DELAYS, stackThrough, startUpload } from './support/tus.mjs';
import { until, within } from './support/wait.mjs';

for (const protocol of ['ietf-draft-03', 'ietf-draft-05']) {
  test(`${protocol}: a file goes up in one append, and in chunks`, async (t) => {
    const server = await startServer(t);
    const file = await randomFile(t, 16 * MIB + 7);
    const whole = startUpload(server, file, { protocol });
    assert.equal(await downloadedSha256(await within('the upload', whole.done)), file.sha256);
    assert.deepEqual(whole.requests.map(({ method, offset }) => [method, offset]), [['POST', undefined], ['PATCH', 0]]);

    const chunks = startUpload(server, file, { protocol, chunkSize: 5 * MIB });
    const url = await within('the upload', chunks.done);
    const offsets = chunks.requests.filter(({ method }) => method === 'PATCH').map(({ offset }) => offset);
    assert.deepEqual(offsets, [0, 5, 10, 15].map((count) => count * MIB));
    assert.equal(await downloadedSha256(url), file.sha256);
    assert.equal((await readTask(server, taskOf(url))).status, 'completed');
  });

  test(`${protocol}: a creation that carries the whole file, or its first chunk`, async (t) => {
    const server = await startServer(t);
    const file = await randomFile(t, 7 * MIB);
    const whole = startUpload(server, file, { protocol, uploadDataDuringCreation: true });
    assert.equal(await downloadedSha256(await within('the upload', whole.done)), file.sha256);
    assert.deepEqual(whole.requests.map(({ method }) => method), ['POST']);

    const first = startUpload(server, file, { protocol, uploadDataDuringCreation: true, chunkSize: 3 * MIB });
    assert.equal(await downloadedSha256(await within('the upload', first.done)), file.sha256);
    assert.deepEqual(first.requests.map(({ method, offset }) => [method, offset]), [
      ['POST', undefined],
      ['PATCH', 3 * MIB],
      ['PATCH', 6 * MIB],
    ]);
  });

  test(`${protocol}: the client goes on by itself after the server was killed and started again`, async (t) => {
    const server = await startServer(t);
    const file = await randomFile(t, 48 * MIB);
    const gate = new Gate(20 * MIB);
    const options = { protocol, httpStack: stackThrough(gate), retryDelays: RETRY_DELAYS };
    const upload = startUpload(server, file, options);
    const url = await upload.url;
    const acknowledged = await until('bytes acknowledged in the middle', async () => {
      const { offset } = await readTask(server, taskOf(url));
      return offset > 0 && offset;
    });
    assert.ok(acknowledged < file.size);
    const before = upload.requests.length;
    await server.kill();
    await server.start();
    gate.open();
    await within('the upload', upload.done);
    const after = upload.requests.slice(before);
    assert.ok(after.find(({ method }) => method === 'PATCH').offset >= acknowledged);
    assert.ok(!after.some(({ method }) => method === 'POST'), 'a second creation');
    assert.equal(await downloadedSha256(url), file.sha256);
  });

  test(`${protocol}: a finished upload that is resumed is found finished`, async (t) => {
    const server = await startServer(t);
    const file = await randomFile(t, MIB);
    const url = await within('the upload', startUpload(server, file, { protocol }).done);
    const again = startUpload(server, file, { protocol, uploadUrl: url });
    assert.equal(await within('the second look', again.done), url);
    assert.ok(!again.requests.some(({ method }) => method === 'POST'), 'a second creation');
    assert.equal(await downloadedSha256(url), file.sha256);
  });
}
