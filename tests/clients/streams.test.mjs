// Stream channels by the stock centrifuge client: publish, history, presence, and recovery after a lost connection.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from './support/centrifuge.mjs';
import { startServer } from './support/server.mjs';
import { until, within } from './support/wait.mjs';

const CHANNEL = 'chat:room';

test('a publication reaches every subscriber once and in order', async (t) => {
  const server = await startServer(t);
  const listeners = await Promise.all(Array.from({ length: 5 }, () => join(t, server)));
  const { subscription } = listeners[0];
  for (let number = 0; number < 50; number += 1) await subscription.publish({ number });
  for (const { heard } of listeners) {
    await until('all publications', () => heard.length >= 50);
    assert.deepEqual(heard.map(({ data }) => data.number), numbers(50));
    assert.deepEqual(heard.map(({ offset }) => offset), numbers(50).map((number) => number + 1));
  }
});

test('many publish at once, and all subscribers see one order', async (t) => {
  const server = await startServer(t);
  const members = await Promise.all(Array.from({ length: 4 }, () => join(t, server)));
  await Promise.all(
    members.flatMap(({ subscription }, member) => numbers(25).map((number) => subscription.publish({ member, number }))),
  );
  for (const { heard } of members) await until('all publications', () => heard.length >= 100);
  const [first, ...others] = members.map(({ heard }) => heard.map(({ data, offset }) => [offset, data]));
  assert.deepEqual(first.map(([offset]) => offset), numbers(100).map((number) => number + 1));
  for (const other of others) assert.deepEqual(other, first);
});

test('history gives positions, pages, both directions and what came since', async (t) => {
  const server = await startServer(t);
  const { client, subscription } = await join(t, server);
  for (let number = 0; number < 10; number += 1) await subscription.publish({ number });

  const position = await client.history(CHANNEL, { limit: 0 });
  assert.deepEqual([position.publications.length, position.offset], [0, 10]);
  const all = await client.history(CHANNEL, { limit: -1 });
  assert.deepEqual(all.publications.map(({ data }) => data.number), numbers(10));
  const since = await client.history(CHANNEL, { limit: 3, since: { offset: 4, epoch: position.epoch } });
  assert.deepEqual(since.publications.map(({ data }) => data.number), [4, 5, 6]);
  const newest = await client.history(CHANNEL, { limit: 2, reverse: true });
  assert.deepEqual(newest.publications.map(({ data }) => data.number), [9, 8]);
  await assert.rejects(client.history(CHANNEL, { limit: -1, since: { offset: 1, epoch: 'another' } }), { code: 112 });
});

test('presence tells who is there, and who has gone', async (t) => {
  const server = await startServer(t);
  const [first, second] = await Promise.all([join(t, server), join(t, server)]);
  const { clients } = await first.client.presence(CHANNEL);
  assert.deepEqual(Object.keys(clients).sort(), [first.id, second.id].sort());
  assert.equal((await first.client.presenceStats(CHANNEL)).numClients, 2);
  second.client.disconnect();
  await until('one left', async () => (await first.client.presenceStats(CHANNEL)).numClients === 1);
});

test('who comes back gets what was published meanwhile, once and in order', async (t) => {
  const server = await startServer(t);
  const [absent, present] = await Promise.all([join(t, server), join(t, server)]);
  await present.subscription.publish({ number: 0 });
  await until('the first', () => absent.heard.length === 1);

  absent.client.disconnect();
  for (let number = 1; number < 40; number += 1) await present.subscription.publish({ number });
  const back = new Promise((resolve) => absent.subscription.once('subscribed', resolve));
  absent.client.connect();
  const context = await within('the return', back);
  for (let number = 40; number < 60; number += 1) await present.subscription.publish({ number });

  assert.deepEqual([context.wasRecovering, context.recovered], [true, true]);
  await until('all', () => absent.heard.length >= 60);
  assert.deepEqual(absent.heard.map(({ data }) => data.number), numbers(60));
});

test('who loses the connection again and again misses nothing', async (t) => {
  const server = await startServer(t);
  const [restless, publisher] = await Promise.all([join(t, server), join(t, server)]);
  let published = 0;
  for (let cut = 0; cut < 5; cut += 1) {
    // The socket is cut without a word, as a lost network does; the SDK comes back by itself, publications go on.
    restless.sockets.at(-1).terminate();
    for (let end = published + 20; published < end; published += 1) await publisher.subscription.publish({ number: published });
    await until('what was published meanwhile', () => restless.heard.length >= published);
  }
  assert.deepEqual(restless.heard.map(({ data }) => data.number), numbers(published));
  assert.equal(restless.sockets.length, 6);
});

test('who was away for too long is told so, and gets nothing in part', async (t) => {
  const server = await startServer(t);
  const [absent, present] = await Promise.all([join(t, server), join(t, server)]);
  absent.client.disconnect();
  // More than a channel remembers.
  await Promise.all(numbers(500).map((number) => present.subscription.publish({ number })));
  const back = new Promise((resolve) => absent.subscription.once('subscribed', resolve));
  absent.client.connect();
  const context = await within('the return', back);
  assert.deepEqual([context.wasRecovering, context.recovered], [true, false]);
  await present.subscription.publish({ number: 500 });
  await until('what is published now', () => absent.heard.length > 0);
  assert.deepEqual(absent.heard.map(({ data }) => data.number), [500]);
});

test('after a kill the subscriber is told that what it missed cannot be recovered', async (t) => {
  const server = await startServer(t);
  const { client, subscription, heard } = await join(t, server);
  await subscription.publish({ number: 0 });
  await until('the first', () => heard.length === 1);
  const back = new Promise((resolve) => subscription.on('subscribed', resolve));
  await server.kill();
  await server.start();
  const context = await within('the return', back);
  // Streams live in the process's memory: a new process has a new epoch and says so.
  assert.deepEqual([context.wasRecovering, context.recovered], [true, false]);
  await subscription.publish({ number: 1 });
  await until('what is published now', () => heard.at(-1).data.number === 1);
  assert.equal(client.state, 'connected');
});

test('bad requests are refused with the codes of the protocol, and the connection lives on', async (t) => {
  const server = await startServer(t);
  const { client } = await join(t, server);
  await assert.rejects(client.publish('x'.repeat(256), {}), { code: 107 });
  await assert.rejects(client.history('task:no-task', { limit: 1 }), ({ code }) => [102, 103, 107, 108].includes(code));
  await assert.rejects(client.rpc('nothing', {}), ({ code }) => [104, 108].includes(code));
  assert.equal(client.state, 'connected');
});

/** A client that is subscribed to the channel, with recovery; `heard` grows with its publications. */
async function join(t, server) {
  const { client, sockets } = connect(t, server);
  const subscription = client.newSubscription(CHANNEL, { recoverable: true, positioned: true });
  const heard = [];
  subscription.on('publication', (publication) => heard.push(publication));
  const connected = new Promise((resolve) => client.once('connected', resolve));
  subscription.subscribe();
  await within('the subscription', subscription.ready());
  return { client, sockets, subscription, heard, id: (await connected).client };
}

function numbers(count) {
  return Array.from({ length: count }, (_, number) => number);
}
