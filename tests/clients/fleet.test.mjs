// Three upload processes on one Redis and one bucket, and everything about them killed, cut, slowed, emptied and replaced
// while stock clients upload. What a client was told is kept (promise P1), and no client gives up or begins again.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { KIB, MIB, randomFile } from './support/files.mjs';
import { startFleet } from './support/fleet.mjs';
import { SlowLine } from './support/gate.mjs';
import { downloadedSha256, readOffset, request } from './support/http.mjs';
import { put } from './support/put.mjs';
import { Redis } from './support/redis.mjs';
import { assertOnce, stackThrough, startUpload, watched } from './support/tus.mjs';
import { until, within } from './support/wait.mjs';

/** Milliseconds; a machine under this load may be slow, and outages are part of it. */
const LONG = 300_000;
/** Clients at once: most are tus-js-client, the rest is our own. */
const SDK_CLIENTS = 40;
const OWN_CLIENTS = 10;
/** What each of them uploads. */
const SIZE = 20 * MIB;
/** So that uploads last as long as the harm does. */
const BYTES_PER_SECOND = 600 * KIB;
/** Kinds of harm. */
const KINDS = 8;
/** Milliseconds between tries: always soon again, and never at an end while the harm lasts. */
const DELAYS = Array.from({ length: 200 }, (_, index) => Math.min(100 * 2 ** index, 2_000));

test('fifty clients lose nothing while processes, Redis and the bucket are harmed', { timeout: LONG }, async (t) => {
  const fleet = await startFleet(t);
  const files = await Promise.all(Array.from({ length: 5 }, () => randomFile(t, SIZE)));
  const sdk = Array.from({ length: SDK_CLIENTS }, (_, index) => {
    const file = files[index % files.length];
    return { file, ...startUpload(fleet, file, { ...watched(), ...slowly(), retryDelays: DELAYS }) };
  });
  let over = false;
  const all = Promise.allSettled([...sdk.map(({ done }) => done), ...own(t, fleet, files)]).then((ended) => {
    over = true;
    return ended;
  });
  const done = await harm(t, fleet, () => over);
  const ended = await within('all uploads', all, LONG);
  const failed = ended.filter(({ status }) => status === 'rejected').map(({ reason }) => reason);
  assert.deepEqual(failed, [], 'no client gave up');
  assert.equal(done.length, KINDS, `the uploads ended too early: only ${done.join(', ')}`);
  sdk.forEach(assertOnce);
  const kept = [...sdk.map(({ upload, file }) => ({ url: upload.url, file })), ...ended.slice(sdk.length).map(({ value }) => value)];
  for (const { url, file } of kept) assert.equal(await downloadedSha256(url), file.sha256);
  const shown = sdk.reduce((sum, { upload }) => sum + upload.options.shown.length, 0);
  const repeated = sdk.reduce((sum, { requests }) => sum + requests.filter(({ method }) => method === 'POST').length - 1, 0);
  t.diagnostic(`${done.join(', ')}; ${shown} offsets shown, ${repeated} unanswered creations repeated`);
});

/** `windlass put`, one after another begun while the harm goes on; where its files are then. */
function own(t, fleet, files) {
  return Array.from({ length: OWN_CLIENTS }, async (_, index) => {
    await pause(index * 2_000);
    const file = files[index % files.length];
    const { code, out, err } = await put(t, file, fleet.origin);
    assert.equal(code, 0, err);
    return { url: new URL(JSON.parse(out).location, fleet.origin).href, file };
  });
}

/** Does every kind of harm once, and goes on killing until the uploads are over. Answers what was done. */
async function harm(t, { servers, redis, bucket, lines }, isOver) {
  const done = [];
  const slow = async (line) => {
    await line.add({ name: 'slow', type: 'latency', attributes: { latency: 150, jitter: 100 } });
    await pause(2_000);
    await line.remove('slow');
  };
  const cut = async (line) => {
    await line.cut();
    await pause(3_000);
    await line.restore();
  };
  const kill = async () => {
    const server = servers[done.length % servers.length];
    await server.kill();
    await server.start();
  };
  const kinds = {
    'a process killed': kill,
    'Redis slow': () => slow(lines.redis),
    'the bucket slow': () => slow(lines.bucket),
    'Redis cut off': () => cut(lines.redis),
    'the bucket cut off': () => cut(lines.bucket),
    'Redis killed, with its data': () => redis.restart(),
    'Redis killed and emptied': () => redis.restart({ wiped: true }),
    'a replica promoted': async () => {
      const replica = await Redis.start(t);
      await replica.follow(redis);
      await redis.end();
      await replica.promote();
      await lines.redis.lead(replica.address);
    },
  };
  for (const [kind, act] of Object.entries(kinds)) {
    if (isOver()) break;
    await act();
    done.push(kind);
    await pause(1_500);
    await kill();
    await pause(500);
  }
  while (!isOver()) {
    await kill();
    await pause(3_000);
  }
  return done;
}

test('Redis and then the bucket away for twenty seconds is a pause to a stock client', { timeout: LONG }, async (t) => {
  const fleet = await startFleet(t, { processes: 2 });
  const file = await randomFile(t, 12 * MIB);
  for (const line of [fleet.lines.redis, fleet.lines.bucket]) {
    const uploads = Array.from({ length: 4 }, () =>
      startUpload(fleet, file, { ...watched(), ...slowly(), retryDelays: DELAYS }),
    );
    await within('some bytes', until('an offset', () => uploads.every(({ progress }) => progress.length > 3)));
    await line.cut();
    await pause(20_000);
    await line.restore();
    for (const client of uploads) {
      await within('the upload', client.done, LONG);
      assertOnce(client);
      assert.equal(await downloadedSha256(client.upload.url), file.sha256);
    }
  }
});

test('every process goes down under load, one after another, and no client hears of it', { timeout: LONG }, async (t) => {
  const fleet = await startFleet(t);
  const file = await randomFile(t, 12 * MIB);
  const uploads = Array.from({ length: 12 }, () =>
    startUpload(fleet, file, { ...watched(), ...slowly(), retryDelays: DELAYS }),
  );
  await Promise.all(uploads.map(({ url }) => within('the creation', url)));
  for (const server of fleet.servers) {
    assert.equal(await server.stop(), 0);
    await server.start();
  }
  for (const client of uploads) {
    await within('the upload', client.done, LONG);
    assertOnce(client);
    assert.equal(await downloadedSha256(client.upload.url), file.sha256);
  }
});

test('a newer request takes an upload over from another process', { timeout: LONG }, async (t) => {
  const { servers } = await startFleet(t, { processes: 2 });
  const file = await randomFile(t, 64 * MIB);
  const [times, writes] = [[], []];
  for (let round = 0; round < 20; round += 1) {
    const [from, to] = round % 2 ? [...servers].reverse() : servers;
    const client = startUpload(from, file, { ...slowly(), retryDelays: null });
    const url = await within('the creation', client.url);
    await until('bytes on their way', () => client.progress.length > 2);
    const elsewhere = to.origin + new URL(url).pathname;
    const before = await releases(from);
    const begun = performance.now();
    const offset = await readOffset(elsewhere);
    times.push(performance.now() - begun);
    const after = await releases(from);
    assert.equal(after.count, before.count + 1, 'the old writer stored what it had and let go');
    writes.push(after.milliseconds - before.milliseconds);
    // Whoever has just been told an offset may write there.
    const headers = { 'Tus-Resumable': '1.0.0', 'Upload-Offset': offset, 'Content-Type': 'application/offset+octet-stream' };
    const answer = await request('PATCH', elsewhere, { headers, body: Buffer.alloc(1_000) });
    assert.equal(answer.status, 204, answer.text);
    await client.upload.abort();
  }
  t.diagnostic(`HEAD at another process while a body runs: ${spread(times)}`);
  t.diagnostic(`of that, the old writer's store write in progress: ${spread(writes)}`);
});

/** How often writers of a process were asked to let go and did, and how long they still stored and recorded in all. */
async function releases({ origin }) {
  const { text } = await request('GET', `${origin}/metrics`);
  const figure = (name) => Number(new RegExp(`^windlass_upload_release_duration_seconds_${name} (\\S+)$`, 'm').exec(text)[1]);
  return { count: figure('count'), milliseconds: 1_000 * figure('sum') };
}

/** Median and p99 of times in milliseconds. */
function spread(times) {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))].toFixed(0);
  return `median ${at(0.5)} ms, p99 ${at(0.99)} ms`;
}

test('a process that was stopped for longer than its lease changes nothing when it wakes', { timeout: LONG }, async (t) => {
  const fleet = await startFleet(t, { processes: 2 });
  const [sleeper, other] = fleet.servers;
  const file = await randomFile(t, 12 * MIB);
  const asleep = startUpload(sleeper, file, { ...slowly(), retryDelays: null });
  const url = await within('the creation', asleep.url);
  await until('bytes on their way', () => asleep.progress.length > 10);
  sleeper.signal('SIGSTOP');
  const awake = startUpload(other, file, {
    ...watched(),
    uploadUrl: other.origin + new URL(url).pathname,
    retryDelays: DELAYS,
  });
  await within('the upload at the other process', awake.done, LONG);
  // Longer than the lease, so that the sleeper wakes as nobody.
  await pause(12_000);
  sleeper.signal('SIGCONT');
  await within('the old body to end', asleep.done.then(() => false, () => true), LONG);
  assert.equal(await downloadedSha256(awake.upload.url), file.sha256);
  assert.equal(await downloadedSha256(sleeper.origin + new URL(url).pathname), file.sha256);
});

/** Options for a client on a slow line. */
function slowly() {
  return { httpStack: stackThrough(new SlowLine(BYTES_PER_SECOND)), chunkSize: Infinity };
}
