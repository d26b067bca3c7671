// Heartbeats on a weak link: watchers on `/ws` behind a real line that is slow, uneven and stands still for a while.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import WebSocket from 'ws';
import { request, taskOf } from './support/http.mjs';
import { startServer } from './support/server.mjs';
import { startProxy } from './support/toxiproxy.mjs';
import { until } from './support/wait.mjs';

/** Connections of each kind. */
const WATCHERS = 20;
/** Pings that a connection of the fixed interval gets while the kinds are compared: 15 s each, the first one sooner. */
const PINGS = 5;
/** Milliseconds for these, with what the line adds. */
const COMPARED = 120_000;
/** What a radio that sleeps adds to each way, milliseconds. */
const WEAK = { latency: 2_000, jitter: 1_500 };
/** A line that stands still: longer than a client's own patience with most servers, shorter than the read deadline. */
const STANDSTILL = { latency: 20_000, jitter: 0 };

test('on a weak link an adaptive heartbeat sends less, and nobody is taken for dead', { timeout: 240_000 }, async (t) => {
  const kinds = await Promise.all([
    startKind(t, 'adaptive', WEAK),
    startKind(t, 'normal', WEAK),
    startKind(t, 'adaptive', undefined),
  ]);
  const [adaptive, fixed, good] = kinds;
  await until('the pings of the fixed interval', () => fixed.watchers.every(({ pings }) => pings >= PINGS), COMPARED);
  const spent = (kind) => kind.watchers.reduce((sum, { raw }) => sum + raw._socket.bytesRead + raw._socket.bytesWritten - raw.handshake, 0);
  const pings = (kind) => kind.watchers.reduce((sum, watcher) => sum + watcher.pings, 0);
  for (const [name, kind] of [['adaptive, weak', adaptive], ['fixed, weak', fixed], ['adaptive, good', good]]) {
    t.diagnostic(`${name}: ${pings(kind) / WATCHERS} pings and ${spent(kind) / WATCHERS} bytes of WebSocket a connection`);
  }
  assert.ok(spent(adaptive) < spent(fixed), 'fewer bytes on the weak link');
  assert.ok(pings(good) > pings(fixed), 'a good link is asked more often, so that a break is noticed sooner');

  // The line stands still while the last progress and pings are under way; who can hear counts the time.
  await Promise.all([adaptive, fixed].map((kind) => kind.line.stand()));
  const before = kinds.map((kind) => kind.watchers.map((watcher) => watcher.pings));
  await Promise.all(kinds.map((kind) => kind.upload.finish()));
  await until('two pings on the good link', () => good.watchers.every(({ pings }, number) => pings >= before[2][number] + 2));
  assert.ok([adaptive, fixed].every((kind) => kind.watchers.every(({ heard }) => heard.at(-1).progress < 100)), 'the line stands');
  await Promise.all([adaptive, fixed].map((kind) => kind.line.recover()));
  for (const [at, kind] of kinds.entries()) {
    await until('the last progress at everybody', () => kind.watchers.every(({ heard }) => heard.at(-1)?.progress === 100), 60_000);
    await until('a ping after it', () => kind.watchers.every(({ pings }, number) => pings > before[at][number]), 60_000);
    assert.deepEqual(kind.watchers.flatMap(({ closed }) => closed), [], 'nobody was closed');
  }
});

/** A server whose heartbeat is of `profile`, an upload there, and its watchers behind a line with this `latency`. */
async function startKind(t, profile, latency) {
  const server = await startServer(t, { config: `push: { heartbeat: { profile: ${profile} } }\n` });
  const upload = await create(server);
  const proxy = latency && (await startProxy(t, server.origin));
  const set = (attributes) =>
    Promise.all(['upstream', 'downstream'].map((stream) => proxy.add({ name: `${stream}-weak`, type: 'latency', stream, attributes })));
  const unset = () => Promise.all(['upstream', 'downstream'].map((stream) => proxy.remove(`${stream}-weak`)));
  const watchers = await Promise.all(Array.from({ length: WATCHERS }, () => watch(t, proxy?.origin ?? server.origin, upload.id)));
  if (latency) await set(latency);
  const line = {
    stand: async () => {
      await unset();
      await set(STANDSTILL);
    },
    recover: async () => {
      await unset();
      await set(latency);
    },
  };
  return { upload, watchers, line };
}

/** A task of one byte, which is sent to complete it. */
async function create(server) {
  const tus = { 'Tus-Resumable': '1.0.0' };
  const created = await request('POST', `${server.origin}/files`, { headers: { ...tus, 'Upload-Length': '1' } });
  assert.equal(created.status, 201);
  const url = new URL(created.headers.location, server.origin).href;
  const finish = async () => {
    const headers = { ...tus, 'Upload-Offset': '0', 'Content-Type': 'application/offset+octet-stream' };
    const sent = await request('PATCH', url, { headers, body: 'x' });
    assert.equal(sent.status, 204);
  };
  return { id: taskOf(url), finish };
}

/** One connection that watches task `id`, and what came by it. */
async function watch(t, origin, id) {
  const raw = new WebSocket(`${origin.replace('http', 'ws')}/ws`);
  t.after(() => raw.terminate());
  const watcher = { raw, heard: [], closed: [], pings: 0 };
  raw.on('ping', () => (watcher.pings += 1));
  raw.on('message', (data) => watcher.heard.push(JSON.parse(data.toString('utf8'))));
  raw.on('close', (code) => watcher.closed.push(code));
  raw.on('error', (error) => watcher.closed.push(error.message));
  raw.on('open', () => raw.send(JSON.stringify({ type: 'join', fileId: id })));
  await until('the present value', () => watcher.heard.length > 0);
  // What opening and joining cost is no heartbeat's.
  raw.handshake = raw._socket.bytesRead + raw._socket.bytesWritten;
  return watcher;
}
