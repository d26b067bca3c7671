// The page in Chromium, used as a person uses it: by drop, by mouse, by keyboard, on a narrow screen.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dropFiles, openPage, screenshot, scrollsSideways, slowUploads, startBrowser, tabTo } from './support/browser.mjs';
import { KIB, MIB, randomFile } from './support/files.mjs';
import { downloadedSha256, readTask, request, taskOf } from './support/http.mjs';
import { startServer } from './support/server.mjs';
import { until } from './support/wait.mjs';

/** Bytes a second: 200 MB then take several seconds, enough for a middle on any machine. */
const SLOW = 24 * MIB;

test('a 200 MB file survives a kill of the server, and the page goes on by itself', async (t) => {
  const server = await startServer(t);
  const file = await randomFile(t, 200_000_000, 'film.mkv');
  const { page, requests, created, complaints } = await open(t, server);
  const unthrottle = await slowUploads(page, SLOW);

  await chooseFiles(page, [file.path]);
  const bar = page.getByRole('progressbar', { name: file.name });
  const seen = [];
  await until('the bar moves in steps', async () => {
    const now = await percentOf(bar);
    if (now > 0 && now !== seen.at(-1)) seen.push(now);
    return seen.length >= 3;
  });
  assert.deepEqual(seen, [...seen].sort((a, b) => a - b), 'the bar never goes back');
  assert.ok(seen.at(-1) < 100);
  await screenshot(page, 'page-uploading');
  const [url] = created;
  const { offset: acknowledged } = await readTask(server, taskOf(url));
  assert.ok(acknowledged > 0 && acknowledged < file.size, `${acknowledged} is not in the middle`);
  const shown = await percentOf(bar);
  const before = requests.length;

  await server.kill();
  await until('the page says that the server is away', () => page.getByText(/Waiting for the server|Trying again/).count());
  assert.ok((await percentOf(bar)) >= shown, 'the bar does not go back');
  await screenshot(page, 'page-server-away');
  await unthrottle();
  await server.start();

  await page.getByRole('link', { name: `Download: ${file.name}` }).waitFor();
  await screenshot(page, 'page-complete');
  const appends = requests.slice(before).filter(({ method }) => method === 'PATCH');
  assert.ok(appends.length > 0 && appends.every(({ offset }) => offset >= acknowledged), JSON.stringify(appends));
  assert.equal(requests.filter(({ method, path }) => method === 'POST' && /^\/files\/?$/.test(path)).length, 1, 'created once');
  assert.equal(await downloadedSha256(url), file.sha256);
  // While the server is away the browser itself logs each refused connection; nothing else may be there.
  assert.deepEqual(complaints.filter((text) => !/net::ERR_|WebSocket connection/.test(text)), []);
});

test('dropped files upload, and a reloaded page lists them', async (t) => {
  const server = await startServer(t);
  const files = await Promise.all([3 * MIB, 500 * KIB, 0].map((size, index) => randomFile(t, size, `dropped ${index}.jpg`)));
  const { page, created, complaints } = await open(t, server);

  await dropFiles(page, page.getByRole('heading', { name: /drop files/i }), files.map(({ path }) => path));

  for (const file of files) await page.getByRole('link', { name: `Download: ${file.name}` }).waitFor();
  assert.equal(created.length, files.length);
  const sums = await Promise.all(created.map((url) => downloadedSha256(url)));
  assert.deepEqual(sums.sort(), files.map(({ sha256 }) => sha256).sort());

  await page.reload();
  for (const file of files) await page.getByRole('heading', { name: file.name }).waitFor();
  await screenshot(page, 'page-list');
  assert.deepEqual(complaints, []);
});

test('an upload is chosen, paused, resumed and cancelled by keyboard alone', async (t) => {
  const server = await startServer(t);
  const file = await randomFile(t, 60 * MIB, 'talk.mp4');
  const { page, created, complaints } = await open(t, server);
  const unthrottle = await slowUploads(page, 8 * MIB);

  const chooser = page.waitForEvent('filechooser');
  await tabTo(page, 'Choose files');
  await page.keyboard.press('Enter');
  await (await chooser).setFiles(file.path);
  await until('the creation', () => created.length === 1);
  const id = taskOf(created[0]);
  const status = async (wanted) => (await readTask(server, id)).status === wanted;
  await until('bytes arrive', async () => (await readTask(server, id)).offset > 0);

  await tabTo(page, `Pause: ${file.name}`);
  await page.keyboard.press('Enter');
  await until('the pause reaches the server', () => status('paused'));
  await page.getByText('Paused', { exact: true }).waitFor();
  await screenshot(page, 'page-paused');
  const paused = await readTask(server, id);
  // The button has become "Resume" and kept the focus.
  await tabTo(page, `Resume: ${file.name}`, 1);
  await page.keyboard.press('Space');
  await until('it goes on', async () => (await readTask(server, id)).offset > paused.offset);
  assert.ok(await status('uploading'));

  await tabTo(page, `Cancel: ${file.name}`);
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await screenshot(page, 'page-cancel');
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'hidden' });
  assert.ok((await readTask(server, id)).length, 'kept');
  await tabTo(page, `Cancel: ${file.name}`);
  await page.keyboard.press('Enter');
  await tabTo(page, 'Cancel the upload');
  await page.keyboard.press('Enter');
  await until('it is gone', async () => (await request('GET', `${server.origin}/tasks/${id}`)).status === 410);
  await page.getByRole('heading', { name: file.name }).waitFor({ state: 'detached' });
  await unthrottle();
  assert.deepEqual(complaints, []);
});

test('a phone of 360 px shows everything without scrolling sideways', async (t) => {
  const server = await startServer(t);
  const long = `${'A very long name of a film, with spaces and without_'.repeat(3)}.mkv`;
  const files = [await randomFile(t, 40 * MIB, long), await randomFile(t, MIB, 'short.txt')];
  const { page, complaints } = await open(t, server, { viewport: { width: 360, height: 740 } });
  assert.equal(await scrollsSideways(page), false, 'empty');
  const unthrottle = await slowUploads(page, 6 * MIB);

  await chooseFiles(page, files.map(({ path }) => path));
  const bar = page.getByRole('progressbar', { name: /A very long name/ });
  await until('the bar moves', async () => (await percentOf(bar)) > 0);
  assert.equal(await scrollsSideways(page), false, 'uploading');
  await screenshot(page, 'phone-uploading');
  await page.getByRole('button', { name: /^Pause: A very long/ }).click();
  await page.getByText('Paused', { exact: true }).waitFor();
  assert.equal(await scrollsSideways(page), false, 'paused');
  await page.getByRole('button', { name: /^Resume: A very long/ }).click();
  await unthrottle();
  await page.getByRole('link', { name: /^Download: A very long/ }).waitFor();
  assert.equal(await scrollsSideways(page), false, 'complete');
  await screenshot(page, 'phone-complete');
  assert.deepEqual(complaints, []);
});

test('a page closed in the middle goes on when the same file is chosen again', async (t) => {
  const server = await startServer(t);
  const file = await randomFile(t, 60 * MIB, 'holiday.mov');
  const { page, requests, created } = await open(t, server);
  const unthrottle = await slowUploads(page, 8 * MIB);
  await chooseFiles(page, [file.path]);
  await until('the creation', () => created.length === 1);
  const id = taskOf(created[0]);
  await until('bytes arrive', async () => (await readTask(server, id)).offset > 0);

  await page.reload();
  await page.getByRole('heading', { name: 'Go on with these' }).waitFor();
  await screenshot(page, 'page-go-on');
  await unthrottle();
  const { offset: acknowledged } = await readTask(server, id);
  const before = requests.length;
  const chooser = page.waitForEvent('filechooser');
  await page.getByRole('button', { name: `Choose the file: ${file.name}` }).click();
  await (await chooser).setFiles(file.path);
  await page.getByRole('link', { name: `Download: ${file.name}` }).waitFor();

  const after = requests.slice(before).filter(({ method, path }) => path.startsWith('/files') && method !== 'GET');
  assert.ok(!after.some(({ method }) => method === 'POST'), 'a second creation');
  assert.ok(after.find(({ method }) => method === 'PATCH').offset >= acknowledged);
  assert.equal(await downloadedSha256(created[0]), file.sha256);
});

test('the page comes with a policy that allows no foreign code', async (t) => {
  const server = await startServer(t);
  const answer = await request('GET', server.origin);
  const policy = answer.headers['content-security-policy'];
  assert.match(policy, /default-src 'none'|default-src 'self'/);
  assert.doesNotMatch(policy, /unsafe|https?:|\*/);
  assert.equal(answer.headers['x-content-type-options'], 'nosniff');
});

async function open(t, server, options) {
  const browser = await startBrowser(t);
  const opened = await openPage(browser, server.origin, options);
  await opened.page.getByRole('heading', { name: 'Windlass' }).waitFor();
  return opened;
}

async function chooseFiles(page, paths) {
  const chooser = page.waitForEvent('filechooser');
  await page.getByRole('button', { name: 'Choose files' }).click();
  await (await chooser).setFiles(paths);
}

async function percentOf(bar) {
  return (await bar.count()) === 0 ? 0 : Number(await bar.getAttribute('aria-valuenow'));
}
