// Three push processes on one Redis with a replica, and everything about them killed, cut, handed over, emptied and replaced
// while stock clients listen (promise P3): each client gets each number once and in order, or is told that it cannot be.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { connect } from './support/centrifuge.mjs';
import { Listener, Publisher, listenInPython, peak } from './support/numbers.mjs';
import { isReady, nodes } from './support/push-fleet.mjs';
import { BRIEF, call, startSharedPushFleet } from './support/push-redis.mjs';
import { until, within } from './support/wait.mjs';

/** Milliseconds; outages are part of it, and the machine may be slow. */
const LONG = 400_000;
/** Clients at once: for JavaScript, and some for Python. */
const CLIENTS = Number(process.env.WINDLASS_PUSH_CLIENTS ?? 500);
const PYTHON_CLIENTS = 20;
const CHANNELS = 20;
/** Milliseconds for which Redis is cut off; by hand 30,000. */
const OUTAGE = Number(process.env.WINDLASS_PUSH_OUTAGE ?? 6_000);
/** Harm by which nothing is forgotten: nobody may be told so. */
const SILENT = new Set([
  'a process killed',
  'Redis cut off',
  'a planned switchover',
  'all processes replaced',
  'one away for longer than its history',
]);

test('each number comes once and in order, or a client is told, whatever is harmed', { timeout: LONG }, async (t) => {
  const fleet = await startSharedPushFleet(t, { replicated: true });
  const channels = Array.from({ length: CHANNELS }, (_, index) => new Publisher(t, fleet, `numbers-${index}`));
  const stock = Array.from({ length: CLIENTS }, (_, index) => new Listener(t, fleet, channels[index % CHANNELS]));
  await within('all subscriptions', Promise.all(stock.map(({ subscription }) => subscription.ready(LONG))), LONG);
  const listeners = [...stock, ...(await listenInPython(t, fleet, channels, PYTHON_CLIENTS))];
  const publishing = channels.map((channel) => channel.run());
  for (const [kind, harm] of Object.entries(harms(t, fleet))) {
    const told = sum(listeners, ({ told }) => told);
    listeners.forEach((listener) => listener.begin());
    await pause(500);
    const begun = Date.now();
    await harm();
    await everybodyCatchesUp(kind, channels, listeners);
    assert.deepEqual(listeners.flatMap(({ wrong }) => wrong), [], kind);
    const newlyTold = sum(listeners, ({ told }) => told) - told;
    if (SILENT.has(kind)) assert.equal(newlyTold, 0, `${kind}: nobody misses anything, so nobody may be told so`);
    const handshakes = opened(stock, begun);
    t.diagnostic(
      `${kind}: ${((Date.now() - begun) / 1_000).toFixed(1)} s; told ${newlyTold} of ${listeners.length}; longest silence ` +
        `${Math.max(...listeners.map(({ longest }) => longest))} ms; ${handshakes.length} handshakes, at most ${peak(handshakes)} in a second`,
    );
  }
  channels.forEach((channel) => (channel.ended = true));
  await within('the last publications', Promise.all(publishing), LONG);
  await until('the last number everywhere', () => listeners.every(({ channel, last }) => last === channel.acknowledged), LONG);
  assert.deepEqual(listeners.flatMap(({ wrong }) => wrong), []);
  const [published, received] = [sum(channels, ({ acknowledged }) => acknowledged), sum(listeners, ({ count }) => count)];
  t.diagnostic(`${published} published, ${sum(channels, ({ repeated }) => repeated)} tries repeated, ${received} received`);
});

/** What is done, in this order. */
function harms(t, fleet) {
  const { servers, lines } = fleet;
  let [primary, replica] = [fleet.redis, fleet.replica];
  /** Clients find the replica where the primary was; what was the primary is its replica now, if it lives. */
  const swap = async () => {
    [primary, replica] = [replica, primary];
    await lines.redis.lead(primary.address);
  };
  return {
    'a process killed': async () => {
      await servers[0].kill();
      await pause(1_000);
      await servers[0].start();
    },
    'Redis cut off': async () => {
      await lines.redis.cut();
      // Nobody is worth less than the others, so nobody is taken out.
      for (const end = Date.now() + OUTAGE; Date.now() < end; await pause(100)) {
        assert.deepEqual(await Promise.all(servers.map(isReady)), [true, true, true]);
      }
      await lines.redis.restore();
    },
    'a planned switchover': async () => {
      await primary.handOver(replica);
      await swap();
    },
    'all processes replaced': async () => {
      for (const server of servers) {
        assert.equal(await server.stop(), 0);
        await server.start();
      }
    },
    'one away for longer than its history': () => isTold(t, fleet),
    'Redis killed, with its data': () => primary.restart(),
    'Redis killed and emptied': () => primary.restart({ wiped: true }),
    'a replica promoted': async () => {
      await replica.inStep();
      await primary.end();
      await replica.promote();
      await swap();
    },
  };
}

/** A client of its own comes back when what it missed is remembered no more: it is told so, once, and goes on. */
async function isTold(t, fleet) {
  const channel = new Publisher(t, fleet, 'brief:numbers');
  const listener = new Listener(t, fleet, channel);
  const publishing = channel.run();
  await until('the first numbers', () => listener.last > 2);
  const mark = listener.last + BRIEF + 2;
  listener.client.disconnect();
  await until('more than is kept', () => channel.acknowledged > mark);
  listener.client.connect();
  await until('it goes on', () => listener.last > mark + 2);
  assert.deepEqual([listener.told, listener.wrong], [1, []]);
  listener.client.disconnect();
  channel.ended = true;
  await publishing;
}

/** Waits until everybody has what is published by now, and a little more. */
async function everybodyCatchesUp(kind, channels, listeners) {
  const marks = new Map(channels.map((channel) => [channel, channel.acknowledged + 5]));
  const isLate = ({ channel, last }) => last < marks.get(channel);
  await until(`everybody has caught up after: ${kind}`, () => !listeners.some(isLate), LONG).catch((error) => {
    const late = listeners.filter(isLate);
    throw new Error(`${error.message}: ${late.length} have not: ${late.slice(0, 5).map((listener) => listener.describe()).join('; ')}`);
  });
}

test('a process that was killed leaves no ghost, and all processes are asked', { timeout: LONG }, async (t) => {
  const { servers } = await startSharedPushFleet(t);
  const [first, second, third] = servers;
  for (const server of [first, second]) {
    const { client } = connect(t, server);
    const subscription = client.newSubscription('room');
    subscription.subscribe();
    await within('the subscription', subscription.ready());
  }
  const clients = async () => (await call(third, 'presence_stats', { channel: 'room' })).num_clients;
  await until('both are present', async () => (await clients()) === 2);
  await until('three nodes', async () => (await call(third, 'info')).nodes.length === 3);
  assert.equal((await call(third, 'channels')).channels.room.num_clients, 2);
  // Each process shows those who run it all three: who is where, and that each sees its own probes.
  for (const server of servers) {
    await until('the probes of three nodes', async () => {
      const seen = await nodes(server);
      return seen.length === 3 && seen.every(({ probeAgeSeconds }) => probeAgeSeconds >= 0);
    });
    const connections = (await nodes(server)).map((node) => node.connections.centrifuge ?? 0).sort();
    assert.deepEqual(connections, [0, 1, 1]);
  }
  const begun = Date.now();
  await first.kill();
  await until('one is present', async () => (await clients()) === 1);
  t.diagnostic(`the ghost was gone after ${Date.now() - begun} ms`);
  assert.equal((await call(third, 'channels')).channels.room.num_clients, 1);
});

function sum(list, of) {
  return list.reduce((total, item) => total + of(item), 0);
}

/** When connections were begun since `begun`. */
function opened(listeners, begun) {
  return listeners.flatMap(({ sockets }) => sockets.map((socket) => socket.begun)).filter((time) => time >= begun);
}
