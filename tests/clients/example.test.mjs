// The example of docs/examples/uppy-centrifuge, built by its own script, on another origin than the server's.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { extname, join } from 'node:path';
import { test } from 'node:test';
import { openPage, screenshot, slowUploads, startBrowser } from './support/browser.mjs';
import { MIB, randomFile } from './support/files.mjs';
import { downloadedSha256, readTask, taskOf } from './support/http.mjs';
import { startServer } from './support/server.mjs';
import { until } from './support/wait.mjs';

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' };

test('the Uppy example uploads and follows a file across a kill of the server', async (t) => {
  const origin = await serveExample(t);
  const server = await startServer(t, { args: ['--allow-origin', origin] });
  const file = await randomFile(t, 64 * MIB, 'film.mkv');
  const { page, requests, created, complaints } = await open(t, origin, server);
  const unthrottle = await slowUploads(page, 12 * MIB);

  await addFiles(page, [file.path]);
  await page.getByRole('button', { name: 'Upload 1 file' }).click();
  const stored = page.getByRole('progressbar', { name: `Stored: ${file.name}` });
  await until('centrifuge tells of stored bytes', async () => (await valueOf(stored)) > 0);
  const task = await readTask(server, taskOf(created[0]));
  assert.ok(task.offset > 0 && task.offset < file.size, `${task.offset} is not in the middle`);
  const before = requests.length;
  await screenshot(page, 'example-uploading');

  await server.kill();
  await unthrottle();
  await server.start();
  await until('100 by centrifuge', async () => (await valueOf(stored)) === 100);
  await screenshot(page, 'example-complete');

  const appends = requests.slice(before).filter(({ method }) => method === 'PATCH');
  assert.ok(appends.length > 0 && appends.every(({ offset }) => offset >= task.offset), JSON.stringify(appends));
  assert.equal(created.length, 1, 'created once');
  assert.equal(await downloadedSha256(created[0]), file.sha256);
  assert.deepEqual(complaints.filter((text) => !/net::ERR_|WebSocket connection/.test(text)), []);
});

test('the Uppy example uploads five files at once', async (t) => {
  const origin = await serveExample(t);
  const server = await startServer(t, { args: ['--allow-origin', origin] });
  const files = await Promise.all([1, 2, 3, 4, 5].map((count) => randomFile(t, count * MIB + count, `part ${count}.bin`)));
  const { page, created, complaints } = await open(t, origin, server);

  await addFiles(page, files.map(({ path }) => path));
  await page.getByRole('button', { name: 'Upload 5 files' }).click();
  for (const { name } of files) {
    const stored = page.getByRole('progressbar', { name: `Stored: ${name}` });
    await until(`100 for ${name}`, async () => (await valueOf(stored)) === 100);
  }
  const sums = await Promise.all(created.map((url) => downloadedSha256(url)));
  assert.deepEqual(sums.sort(), files.map(({ sha256 }) => sha256).sort());
  assert.deepEqual(complaints, []);
});

/** Serves the built example on a port of its own; returns its origin. */
async function serveExample(t) {
  const folder = process.env.WINDLASS_EXAMPLE;
  if (!folder) throw new Error('WINDLASS_EXAMPLE must name the built example; `tests/run clients` builds and sets it');
  const files = http.createServer((request, answer) => {
    const path = new URL(request.url, 'http://any').pathname;
    const file = path === '/' ? 'index.html' : path.slice(1);
    readFile(join(folder, file)).then(
      (content) => answer.writeHead(200, { 'Content-Type': TYPES[extname(file)] }).end(content),
      () => answer.writeHead(path === '/favicon.ico' ? 204 : 404).end(),
    );
  });
  await new Promise((resolve) => files.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    files.close();
    files.closeAllConnections();
  });
  return `http://127.0.0.1:${files.address().port}`;
}

async function open(t, origin, server) {
  const opened = await openPage(await startBrowser(t), `${origin}/?server=${encodeURIComponent(server.origin)}`);
  await opened.page.getByText('connected', { exact: true }).waitFor();
  return opened;
}

async function addFiles(page, paths) {
  const chooser = page.waitForEvent('filechooser');
  await page.getByRole('button', { name: 'browse files' }).click();
  await (await chooser).setFiles(paths);
}

/** What a bar shows, 0 while it is not there yet. */
async function valueOf(bar) {
  return (await bar.count()) === 0 ? 0 : bar.evaluate((element) => element.value);
}
