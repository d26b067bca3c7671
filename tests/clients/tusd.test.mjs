// A real tusd hands its uploads over to Windlass and gets them back, as docs/coming-from-tusd.md says.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { KIB, MIB, randomFile, sha256 } from './support/files.mjs';
import { Gate } from './support/gate.mjs';
import { downloadedSha256, readOffset, request } from './support/http.mjs';
import { startServer } from './support/server.mjs';
import { RETRY_DELAYS, stackThrough, startUpload } from './support/tus.mjs';
import { Place } from './support/tusd.mjs';
import { until, within } from './support/wait.mjs';

const TUS = { 'Tus-Resumable': '1.0.0' };

for (const signal of ['SIGTERM', 'SIGKILL']) {
  test(`an upload runs on when tusd is ended by ${signal} and Windlass takes its place`, async (t) => {
    const place = await Place.make(t);
    const tusd = await place.tusd();
    const file = await randomFile(t, 48 * MIB);
    const gate = new Gate(20 * MIB);
    const upload = startUpload(place, file, { httpStack: stackThrough(gate), retryDelays: RETRY_DELAYS });
    const url = await within('the creation', upload.url);
    await within('the gate closes', gate.reached);
    await tusd.end(signal);
    const acknowledged = (await stat(join(place.directory, idOf(url)))).size;
    assert.ok(acknowledged > 0 && acknowledged < file.size);
    const before = await place.files();
    const sentBefore = upload.requests.length;

    await startServer(t, { port: place.port, config: place.config });
    gate.open();
    assert.equal(await within('the upload', upload.done), url);
    const after = upload.requests.slice(sentBefore);
    assert.equal(after.find(({ method }) => method === 'PATCH').offset, acknowledged);
    assert.equal(upload.requests.filter(({ method }) => method === 'POST').length, 1, 'created once');
    assert.equal(await downloadedSha256(url), file.sha256);
    assert.deepEqual(await place.files(), before, "tusd's files stay as they were");
  });
}

test('whatever tusd keeps comes over: finished, empty, deferred, partial and joined uploads', async (t) => {
  const place = await Place.make(t);
  const tusd = await place.tusd();
  const [small, large, late] = await Promise.all([700 * KIB, 5 * MIB, 3 * MIB].map((size) => randomFile(t, size, 'ä b.bin')));
  const finished = await startUpload(place, small).done;
  const empty = await startUpload(place, await randomFile(t, 0)).done;
  const joined = await startUpload(place, large, { parallelUploads: 2, retryDelays: RETRY_DELAYS }).done;
  const content = await readFile(late.path);
  const deferred = await create(place, { 'Upload-Defer-Length': '1' });
  await append(deferred, 0, content.subarray(0, MIB));
  const [one, two] = [await create(place, part(MIB)), await create(place, part(2 * MIB))];
  await append(one, 0, content.subarray(0, MIB));
  await append(two, 0, content.subarray(MIB, MIB + 1000));
  await tusd.end('SIGTERM');

  await startServer(t, { port: place.port, config: place.config });
  assert.equal(await downloadedSha256(finished), small.sha256);
  assert.equal(await downloadedSha256(empty), sha256(''));
  assert.equal(await downloadedSha256(joined), large.sha256);
  const head = await request('HEAD', joined, { headers: TUS });
  assert.match(head.headers['upload-concat'], /^final;\S+ \S+$/);
  const named = await request('HEAD', finished, { headers: TUS });
  assert.match(named.headers['upload-metadata'], /filename w6QgYi5iaW4=/);

  await append(deferred, MIB, content.subarray(MIB), { 'Upload-Length': content.length });
  assert.equal(await downloadedSha256(deferred), late.sha256);
  await append(two, 1000, content.subarray(MIB + 1000));
  const paths = [one, two].map((url) => new URL(url).pathname).join(' ');
  const whole = await create(place, { 'Upload-Concat': `final;${paths}` });
  assert.equal(await downloadedSha256(whole), late.sha256);
});

test('what a tusd that runs is writing to is not taken over before it lets go', async (t) => {
  const place = await Place.make(t);
  const tusd = await place.tusd();
  const file = await randomFile(t, 24 * MIB);
  const gate = new Gate(10 * MIB);
  const upload = startUpload(place, file, { httpStack: stackThrough(gate) });
  const url = await within('the creation', upload.url);
  await within('the gate closes', gate.reached);
  const server = await startServer(t, { config: place.config });
  const here = `${server.origin}${new URL(url).pathname}`;
  const head = await request('HEAD', here, { headers: TUS });
  assert.deepEqual([head.status, 'upload-offset' in head.headers], [423, false]);
  await tusd.end('SIGKILL');
  gate.open();
  const rest = startUpload(server, file, { uploadUrl: here });
  await within('the rest', rest.done);
  assert.equal(await downloadedSha256(here), file.sha256);
});

test('uploads go back to tusd where they stand, and on from there', async (t) => {
  const place = await Place.make(t);
  const first = await place.tusd();
  const [file, late] = [await randomFile(t, 6 * MIB), await randomFile(t, 2 * MIB)];
  const [content, ending] = [await readFile(file.path), await readFile(late.path)];
  const unfinished = await create(place, { 'Upload-Length': file.size });
  await append(unfinished, 0, content.subarray(0, MIB));
  const deferred = await create(place, { 'Upload-Defer-Length': '1' });
  await append(deferred, 0, ending.subarray(0, MIB));
  const untouched = await create(place, { 'Upload-Length': 10 });
  await first.end('SIGTERM');

  const server = await startServer(t, { port: place.port, config: place.config });
  await append(unfinished, MIB, content.subarray(MIB, 3 * MIB));
  await append(unfinished, 3 * MIB, content.subarray(3 * MIB, 4 * MIB));
  await append(deferred, MIB, ending.subarray(MIB, MIB + 5), { 'Upload-Length': late.size });
  await until('the sweep', () => server.log.includes("swept tusd's directory"));
  await server.stop();

  const back = () => promisify(execFile)(process.env.WINDLASS_BIN, ['to-tusd', '--data-dir', server.data, place.directory]);
  assert.match((await back()).stdout, /^2 uploads have grown, 1 are as they were, 0 were ended here, 0 were never taken over\n$/);
  const files = await place.files();
  assert.match((await back()).stdout, /^0 uploads have grown, 3 are/);
  assert.deepEqual(await place.files(), files, 'going back twice is going back once');

  const second = await place.tusd();
  assert.deepEqual(await Promise.all([unfinished, deferred, untouched].map(readOffset)), [4 * MIB, MIB + 5, 0]);
  await append(unfinished, 4 * MIB, content.subarray(4 * MIB));
  await append(deferred, MIB + 5, ending.subarray(MIB + 5));
  assert.equal(await downloadedSha256(unfinished), file.sha256);
  assert.equal(await downloadedSha256(deferred), late.sha256);
  await second.end('SIGTERM');

  // With the old data directory nothing is shown that is less than tusd told.
  await server.start();
  await until('the sweep', () => server.log.match(/it went on after it was taken over/g)?.length === 2);
  for (const url of [unfinished, deferred]) {
    assert.equal((await request('HEAD', url, { headers: TUS })).status, 423);
  }
});

const idOf = (url) => new URL(url).pathname.split('/').at(-1);
const part = (length) => ({ 'Upload-Concat': 'partial', 'Upload-Length': length });

async function create(place, headers) {
  const answer = await request('POST', `${place.origin}/files/`, { headers: { ...TUS, ...headers } });
  assert.equal(answer.status, 201, answer.text);
  return new URL(answer.headers.location, place.origin).href;
}

async function append(url, offset, body, more = {}) {
  const headers = { ...TUS, 'Content-Type': 'application/offset+octet-stream', 'Upload-Offset': offset, ...more };
  const answer = await request('PATCH', url, { headers, body });
  assert.deepEqual([answer.status, answer.headers['upload-offset']], [204, String(offset + body.length)], answer.text);
}
