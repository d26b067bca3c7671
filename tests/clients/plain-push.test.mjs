// The plain ways to watch an upload: `/ws`, SSE and polling, as a page or a script without an SDK uses them.

import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';
import WebSocket from 'ws';
import { readTask, request } from './support/http.mjs';
import { startServer } from './support/server.mjs';
import { until, within } from './support/wait.mjs';
import { assertWatched, startWatchedUpload } from './support/watched.mjs';

const UNKNOWN_TASK = 'local-00000000-0000-7000-8000-000000000000';

test('/ws sends the present value at once, each advance, and 100 at the end', async (t) => {
  const server = await startServer(t);
  const upload = await startWatchedUpload(t, server);
  const socket = await openSocket(t, server);
  socket.say({ type: 'join', fileId: upload.id });
  const first = await until('the present value', () => socket.heard.find(({ fileId }) => fileId === upload.id));
  assert.deepEqual(Object.keys(first).sort(), ['fileId', 'progress']);
  await upload.step();
  await upload.finish();
  await until('100', () => socket.progressOf(upload.id).at(-1) === 100);
  assertWatched(socket.progressOf(upload.id));
});

test('/ws pauses and resumes an upload', async (t) => {
  const server = await startServer(t);
  const upload = await startWatchedUpload(t, server);
  const socket = await openSocket(t, server);
  socket.say({ type: 'join', fileId: upload.id });
  socket.say({ type: 'pause', fileId: upload.id });
  await until('the pause', async () => (await readTask(server, upload.id)).status === 'paused');
  socket.say({ type: 'resume', fileId: upload.id });
  await until('the resumption', async () => (await readTask(server, upload.id)).status === 'uploading');
  await upload.finish();
  await until('100', () => socket.progressOf(upload.id).at(-1) === 100);
});

test('/ws answers bad requests with a stable code and stays open', async (t) => {
  const server = await startServer(t);
  const socket = await openSocket(t, server);
  const bad = [
    '{', 'null', '[1]', '"join"', '{"type":"fly"}', '{"type":"join"}', '{"type":"join","fileId":7}',
    JSON.stringify({ type: 'join', fileId: '../../etc/passwd' }),
    JSON.stringify({ type: 'join', fileId: UNKNOWN_TASK }),
    JSON.stringify({ type: 'message', to: 'anybody', data: {} }),
  ];
  for (const [index, text] of bad.entries()) {
    socket.raw.send(text);
    const error = await until(`the answer to ${text}`, () => socket.heard[index]);
    assert.equal(error.type, 'error', text);
    assert.match(error.code, /^[a-z_]+$/, text);
    assert.ok(error.message.length > 0, text);
  }
  assert.equal(socket.raw.readyState, WebSocket.OPEN);
});

test('/ws leaves a task', async (t) => {
  const server = await startServer(t);
  const upload = await startWatchedUpload(t, server);
  const [leaver, stayer] = [await openSocket(t, server), await openSocket(t, server)];
  for (const socket of [leaver, stayer]) socket.say({ type: 'join', fileId: upload.id });
  await until('both joined', () => [leaver, stayer].every((socket) => socket.progressOf(upload.id).length > 0));
  leaver.say({ type: 'leave', fileId: upload.id });
  // An answer to something later proves that the leave was handled.
  leaver.say({ type: 'join', fileId: UNKNOWN_TASK });
  await until('an answer after the leave', () => leaver.heard.some(({ type }) => type === 'error'));
  await upload.finish();
  await until('100 at the one who stayed', () => stayer.progressOf(upload.id).at(-1) === 100);
  assert.ok(!leaver.progressOf(upload.id).includes(100));
});

test('/ws refuses a page of another origin', async (t) => {
  const server = await startServer(t);
  const socket = new WebSocket(`${server.webSocketOrigin}/ws`, { origin: 'http://evil.example' });
  // The refused socket also emits an error, and once more when it is terminated.
  socket.on('error', () => {});
  t.after(() => socket.terminate());
  const [, answer] = await within('the refusal', new Promise((resolve) => {
    socket.once('unexpected-response', (...all) => resolve(all));
  }));
  assert.equal(answer.statusCode, 403);
});

test('/events streams the progress and ends after the completion', async (t) => {
  const server = await startServer(t);
  const upload = await startWatchedUpload(t, server);
  const stream = await openEvents(t, server, upload.id);
  await until('the present state', () => stream.events.length > 0);
  await upload.step();
  await upload.finish();
  await within('the end of the stream', stream.ended);

  const kinds = stream.events.map(({ event }) => event);
  assert.deepEqual([...new Set(kinds)], ['progress', 'completed']);
  assert.equal(kinds.filter((kind) => kind === 'completed').length, 1);
  const data = stream.events.map((event) => JSON.parse(event.data));
  for (const each of data) {
    assert.deepEqual(Object.keys(each).sort(), ['progress', 'taskId', 'timestamp']);
    assert.equal(each.taskId, upload.id);
    assert.ok(Math.abs(each.timestamp - Date.now()) < 3_600_000, 'a Unix time in milliseconds');
  }
  assertWatched(data.map(({ progress }) => progress));
  const ids = stream.events.map(({ id }) => Number(id));
  assert.deepEqual(ids, [...ids].sort((a, b) => a - b), 'the ids rise');
});

test('/events of a finished upload tells so and ends', async (t) => {
  const server = await startServer(t);
  const upload = await startWatchedUpload(t, server);
  await upload.finish();
  const stream = await openEvents(t, server, upload.id);
  await within('the end of the stream', stream.ended);
  assert.deepEqual(stream.events.map(({ event }) => event), ['completed']);
});

test('polling with an ETag answers 304 until something changed', async (t) => {
  const server = await startServer(t);
  const upload = await startWatchedUpload(t, server);
  const url = `${server.origin}/tasks/${upload.id}`;
  const first = await request('GET', url);
  assert.match(first.headers.etag, /^"[^"]+"$/);
  const same = await request('GET', url, { headers: { 'If-None-Match': first.headers.etag } });
  assert.deepEqual([same.status, same.text], [304, '']);
  await upload.step();
  const changed = await request('GET', url, { headers: { 'If-None-Match': first.headers.etag } });
  assert.equal(changed.status, 200);
  assert.notEqual(changed.headers.etag, first.headers.etag);
  assert.ok(changed.json().offset > first.json().offset);
});

test('a long poll answers as soon as something changed', async (t) => {
  const server = await startServer(t);
  const upload = await startWatchedUpload(t, server);
  const url = `${server.origin}/tasks/${upload.id}`;
  const values = [];
  let tag = (await request('GET', url)).headers.etag;
  const polled = (async () => {
    while (values.at(-1) !== 100) {
      const answer = await request('GET', `${url}?wait=25`, { headers: { 'If-None-Match': tag } });
      if (answer.status === 304) continue;
      tag = answer.headers.etag;
      values.push(answer.json().progress);
    }
  })();
  await upload.step();
  await until('a polled value', () => values.length > 0);
  await upload.finish();
  await within('the last value, long before the wait is over', polled, 20_000);
  assertWatched(values);
});

test('a task pauses, resumes and refuses what its state does not allow', async (t) => {
  const server = await startServer(t);
  const upload = await startWatchedUpload(t, server);
  const url = `${server.origin}/tasks/${upload.id}`;
  const paused = await request('POST', `${url}/pause`);
  assert.deepEqual([paused.status, paused.json().status], [200, 'paused']);
  const resumed = await request('POST', `${url}/resume`);
  assert.deepEqual([resumed.status, resumed.json().status], [200, 'uploading']);
  await upload.finish();
  const late = await request('POST', `${url}/pause`);
  assert.deepEqual([late.status, late.json().code], [409, 'illegal_transition']);
});

test('a list shows the newest task first and pages through all', async (t) => {
  const server = await startServer(t);
  const ids = [];
  for (let count = 0; count < 5; count += 1) {
    const answer = await request('POST', `${server.origin}/files/`, {
      headers: { 'Tus-Resumable': '1.0.0', 'Upload-Length': '10', 'Upload-Metadata': `filename ${btoa(`film ${count}`)}` },
    });
    assert.equal(answer.status, 201);
    ids.unshift(answer.headers.location.split('/')[3]);
  }
  // The list is an index that follows the tasks: it is complete soon, not at once.
  const listed = await until('all are listed', async () => {
    const all = await listTasks(server, 2);
    return all.length >= ids.length && all;
  });
  assert.deepEqual(listed.map(({ taskId }) => taskId), ids);
  assert.deepEqual(listed.map(({ name }) => name), ['film 4', 'film 3', 'film 2', 'film 1', 'film 0']);
});

/** All tasks, by pages of `limit`. */
async function listTasks(server, limit) {
  const listed = [];
  for (let after = ''; after !== null; ) {
    const { tasks, next } = (await request('GET', `${server.origin}/tasks?limit=${limit}${after}`)).json();
    assert.ok(tasks.length <= limit);
    listed.push(...tasks);
    after = next ? `&after=${encodeURIComponent(next)}` : null;
  }
  return listed;
}

async function openSocket(t, server) {
  const raw = new WebSocket(`${server.webSocketOrigin}/ws`);
  t.after(() => raw.terminate());
  const heard = [];
  raw.on('message', (data, isBinary) => {
    assert.equal(isBinary, false, 'text frames only');
    heard.push(JSON.parse(data.toString('utf8')));
  });
  await within('the socket opens', new Promise((resolve, reject) => raw.once('open', resolve).once('error', reject)));
  return {
    raw,
    heard,
    say: (message) => raw.send(JSON.stringify(message)),
    progressOf: (id) => heard.filter(({ fileId, type }) => fileId === id && !type).map(({ progress }) => progress),
  };
}

/** Opens an event stream and reads it as the standard says: fields by line, events by empty line. */
function openEvents(t, server, id) {
  return new Promise((resolve, reject) => {
    const sent = http.get(`${server.origin}/events/${id}`, { agent: false, headers: { Accept: 'text/event-stream' } });
    t.after(() => sent.destroy());
    sent.once('error', reject);
    sent.once('response', (answer) => {
      assert.equal(answer.statusCode, 200);
      assert.match(answer.headers['content-type'], /^text\/event-stream/);
      const events = [];
      let rest = '';
      answer.setEncoding('utf8').on('data', (text) => {
        const blocks = (rest + text).split('\n\n');
        rest = blocks.pop();
        events.push(...blocks.map(readEvent).filter(({ data }) => data !== undefined));
      });
      const ended = new Promise((done) => answer.once('end', done));
      resolve({ events, ended });
    });
  });
}

function readEvent(block) {
  const lines = block.split('\n').filter((line) => line && !line.startsWith(':'));
  return Object.fromEntries(lines.map((line) => [line.split(':')[0], line.replace(/^[^:]*: ?/, '')]));
}
