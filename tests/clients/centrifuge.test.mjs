// A task's channel, by the stock centrifuge client for JavaScript; streams.test.mjs has the other channels.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import WebSocket from 'ws';
import { connect } from './support/centrifuge.mjs';
import { startServer } from './support/server.mjs';
import { until, within } from './support/wait.mjs';
import { assertWatched, startWatchedUpload } from './support/watched.mjs';

test('a subscriber of a task sees its progress rise to 100', async (t) => {
  const server = await startServer(t);
  const upload = await startWatchedUpload(t, server);
  const { client } = connect(t, server);
  const { values, subscription } = watchTask(client, upload.id);
  await within('the subscription', subscription.ready());

  await upload.step();
  await until('a value in the middle', () => values.some((value) => value > 0 && value < 100));
  const seen = values.length;
  await upload.step();
  await until('a second value', () => values.length > seen);
  await upload.finish();
  await until('100', () => values.at(-1) === 100);
  assertWatched(values);
});

test('many subscribers on many connections see the same end', async (t) => {
  const server = await startServer(t);
  const upload = await startWatchedUpload(t, server);
  const watchers = Array.from({ length: 20 }, () => watchTask(connect(t, server).client, upload.id));
  await within('the subscriptions', Promise.all(watchers.map(({ subscription }) => subscription.ready())));
  await upload.step();
  await upload.finish();
  for (const { values } of watchers) {
    await until('100', () => values.at(-1) === 100);
    assertWatched(values);
  }
});

test('a subscriber reconnects by itself after a kill and ends with 100', async (t) => {
  const server = await startServer(t);
  const upload = await startWatchedUpload(t, server);
  const { client } = connect(t, server);
  const connected = [];
  client.on('connected', (context) => connected.push(context.client));
  const { values, subscription } = watchTask(client, upload.id);
  await within('the subscription', subscription.ready());
  await upload.step();
  await until('a value before the kill', () => values.some((value) => value > 0 && value < 100));

  await server.kill();
  await server.start();
  await until('a second connection', () => connected.length > 1);
  await upload.finish();

  await until('100', () => values.at(-1) === 100);
  assertWatched(values);
  assert.equal(client.state, 'connected');
});

test('a task that nobody has is refused to a subscriber, and the connection lives on', async (t) => {
  const server = await startServer(t);
  const { client } = connect(t, server);
  await within('the connection', client.ready());
  const subscription = client.newSubscription('task:local-00000000-0000-7000-8000-000000000000');
  const refused = new Promise((resolve) => subscription.once('unsubscribed', resolve));
  subscription.subscribe();
  const { code } = await within('the refusal', refused);
  assert.ok([102, 103].includes(code), `code ${code}`);
  assert.equal(client.state, 'connected');
});

test('nobody but the server publishes to the channel of a task', async (t) => {
  const server = await startServer(t);
  const upload = await startWatchedUpload(t, server);
  const { client } = connect(t, server);
  const { subscription } = watchTask(client, upload.id);
  await within('the subscription', subscription.ready());
  await assert.rejects(subscription.publish({ fileId: upload.id, progress: 1 }), { code: 103 });
});

test('garbage ends the connection with the code of a bad request', async (t) => {
  const server = await startServer(t);
  for (const garbage of ['{', 'null', '[]', '{"id":1}', '{"id":1,"nothing":{}}', '{"id":1,"subscribe":{"channel":"x"}}']) {
    const socket = new WebSocket(`${server.webSocketOrigin}/connection/websocket`);
    t.after(() => socket.terminate());
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.once('open', () => socket.send(garbage));
    assert.equal(await within(`the close after ${garbage}`, closed), 3501, garbage);
  }
});

/** Subscribes to a task; `values` grows with each progress, also the one that the subscription itself brings. */
function watchTask(client, id) {
  const values = [];
  const subscription = client.newSubscription(`task:${id}`);
  subscription.on('publication', ({ data }) => {
    assert.deepEqual(Object.keys(data).sort(), ['fileId', 'progress']);
    assert.equal(data.fileId, id);
    values.push(data.progress);
  });
  subscription.subscribe();
  return { values, subscription };
}
