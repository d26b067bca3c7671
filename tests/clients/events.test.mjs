// What comes to push nodes by a stream in Redis: publications of a backend, and the events of uploads, whose processes may be gone
// by then.

import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { connect } from './support/centrifuge.mjs';
import { KIB, randomFile, temporaryFolder } from './support/files.mjs';
import { Redis } from './support/redis.mjs';
import { Server, freePort, startServer } from './support/server.mjs';
import { startUpload } from './support/tus.mjs';
import { until, within } from './support/wait.mjs';

/** What is told of an upload that completes, by the default channel of whoever uploads on loopback. */
const [CHANNEL, KINDS] = ['uploads:local', ['dev.windlass.task.created', 'dev.windlass.task.completed']];

/** One of the two services on this Redis, started. */
async function start(t, name, redis, section) {
  const binary = process.env.WINDLASS_BIN;
  if (!binary) throw new Error('WINDLASS_BIN must name the windlass binary; `tests/run clients` builds and sets it');
  const folder = await temporaryFolder(t);
  const config = await folder.write('service.yaml', configuration(redis, section));
  const args = ['--listen', `127.0.0.1:${await freePort()}`, '--config', config];
  if (name === 'windlass-upload') args.push('--data-dir', join(folder.path, 'data'));
  const server = new Server(join(dirname(binary), name), args, {});
  await server.start();
  t.after(() => server.kill());
  return server;
}

function configuration(redis, ...sections) {
  return [`store: { redis: { url: "redis://${redis.address}" } }`, ...sections, ''].join('\n');
}

async function entries(redis) {
  return Number(await redis.command('XLEN', 'push:events'));
}

test('uploads are told of by a push node that starts when no upload process is left', async (t) => {
  const redis = await Redis.start(t);
  const uploads = await start(t, 'windlass-upload', redis, 'upload: { announce: {} }');
  const file = await randomFile(t, 64 * KIB);
  await within('the upload', startUpload(uploads, file).done);
  await until('both events are in the stream', async () => (await entries(redis)) === 2);
  await uploads.kill();

  const push = await start(t, 'windlass-push', redis, 'push: { events: {} }');
  const { client } = connect(t, push);
  const publications = await until('both events are published', async () => {
    const { publications } = await client.history(CHANNEL, { limit: 10 });
    return publications.length === 2 && publications;
  });
  assert.deepEqual(publications.map(({ data }) => data.type), KINDS);
  assert.deepEqual(publications.map(({ data }) => data.sequence), [1, 2]);
  assert.equal(publications[1].data.data.name, file.name);
  await until('nothing is left in the stream', async () => (await entries(redis)) === 0);
});

test('a backend publishes by adding to a stream, also while no push node is there', async (t) => {
  const redis = await Redis.start(t);
  const add = (number) => {
    const payload = JSON.stringify({ channel: 'chat:room', data: { number } });
    return redis.command('XADD', 'push:events', '*', 'method', 'publish', 'payload', payload);
  };
  const push = await start(t, 'windlass-push', redis, 'push: { events: {} }');
  const { client } = connect(t, push);
  const heard = [];
  const subscription = client.newSubscription('chat:room');
  subscription.on('publication', ({ data }) => heard.push(data.number));
  subscription.subscribe();
  await within('the subscription', subscription.ready());
  for (let number = 0; number < 20; number += 1) await add(number);
  await until('all are heard', () => heard.length === 20);
  assert.equal(await push.stop(), 0);
  await add(20);
  await push.start();
  // The client recovers it, if it is back only after it was published.
  await until('what came meanwhile is heard', () => heard.length === 21);
  assert.deepEqual(heard, Array.from({ length: 21 }, (_, number) => number));
});

test('one process that does all of it takes the stream too', async (t) => {
  const redis = await Redis.start(t);
  const config = configuration(redis, 'upload: { announce: {} }', 'push: { events: {} }');
  const server = await startServer(t, { config });
  const { client } = connect(t, server);
  const heard = [];
  const subscription = client.newSubscription(CHANNEL);
  subscription.on('publication', ({ data }) => heard.push(data.type));
  subscription.subscribe();
  await within('the subscription', subscription.ready());
  const file = await randomFile(t, 64 * KIB);
  await within('the upload', startUpload(server, file).done);
  await until('both events are heard', () => heard.length === 2);
  assert.deepEqual(heard, KINDS);
});
