// Three push processes on one Redis, and everything about them killed, cut, emptied and replaced while stock clients listen
// (promise P3): each client gets each number once and in order, or is told that it cannot be.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { connect } from './support/centrifuge.mjs';
import { call, startSharedPushFleet } from './support/push-redis.mjs';
import { Redis } from './support/redis.mjs';
import { until, within } from './support/wait.mjs';

/** Milliseconds; outages are part of it, and the machine may be slow. */
const LONG = 400_000;
/** Clients at once; by hand 500, as the promise is measured. */
const CLIENTS = Number(process.env.WINDLASS_PUSH_CLIENTS ?? 100);
const CHANNELS = 20;
/** Milliseconds for which Redis is cut off; by hand 30,000. */
const OUTAGE = Number(process.env.WINDLASS_PUSH_OUTAGE ?? 6_000);
/** Milliseconds between a channel's publications. */
const PACE = 100;
/** As a page would set them, if it wanted to be back soon. */
const DELAYS = { minReconnectDelay: 200, maxReconnectDelay: 2_000 };

test('each number comes once and in order, or a client is told, whatever is harmed', { timeout: LONG }, async (t) => {
  const fleet = await startSharedPushFleet(t);
  const channels = Array.from({ length: CHANNELS }, (_, index) => new Publisher(fleet, `numbers-${index}`));
  const listeners = Array.from({ length: CLIENTS }, (_, index) => new Listener(t, fleet, channels[index % CHANNELS]));
  await within('all subscriptions', Promise.all(listeners.map(({ subscription }) => subscription.ready(LONG))), LONG);
  const publishing = channels.map((channel) => channel.run());
  const silent = new Set(['a process killed', 'Redis cut off', 'all processes replaced']);
  for (const [kind, harm] of Object.entries(harms(t, fleet))) {
    const told = sum(listeners, ({ told }) => told);
    const opened = sum(listeners, ({ sockets }) => sockets.length);
    listeners.forEach((listener) => (listener.longest = 0));
    await pause(1_000);
    const begun = Date.now();
    await harm();
    const marks = channels.map((channel) => channel.acknowledged + 5);
    const caughtUp = ({ channel, last }) => last >= marks[channels.indexOf(channel)];
    await until(`everybody has caught up after: ${kind}`, () => listeners.every(caughtUp), LONG).catch((error) => {
      const late = listeners.filter((listener) => !caughtUp(listener)).slice(0, 5);
      throw new Error(`${error.message}: ${late.map((listener) => listener.describe()).join('; ')}`);
    });
    assert.deepEqual(listeners.flatMap(({ wrong }) => wrong), [], kind);
    const newlyTold = sum(listeners, ({ told }) => told) - told;
    if (silent.has(kind)) assert.equal(newlyTold, 0, `${kind}: nobody misses anything, so nobody may be told so`);
    const handshakes = sum(listeners, ({ sockets }) => sockets.length) - opened;
    const longest = Math.max(...listeners.map(({ longest }) => longest));
    t.diagnostic(
      `${kind}: ${((Date.now() - begun) / 1_000).toFixed(1)} s; told ${newlyTold} of ${CLIENTS}; ` +
        `longest silence ${longest} ms; ${handshakes} handshakes, at most ${peak(listeners, begun)} in a second`,
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
  const { servers, redis, lines } = fleet;
  return {
    'a process killed': async () => {
      await servers[0].kill();
      await pause(1_000);
      await servers[0].start();
    },
    'Redis cut off': async () => {
      await lines.redis.cut();
      await pause(OUTAGE);
      await lines.redis.restore();
    },
    'all processes replaced': async () => {
      for (const server of servers) {
        assert.equal(await server.stop(), 0);
        await server.start();
      }
    },
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
}

test('a process that was killed leaves no ghost, and all processes are asked', { timeout: LONG }, async (t) => {
  const { servers } = await startSharedPushFleet(t);
  const [first, second, third] = servers;
  for (const server of [first, second]) {
    const { client } = connect(t, server, DELAYS);
    const subscription = client.newSubscription('room');
    subscription.subscribe();
    await within('the subscription', subscription.ready());
  }
  const clients = async () => (await call(third, 'presence_stats', { channel: 'room' })).num_clients;
  await until('both are present', async () => (await clients()) === 2);
  await until('three nodes', async () => (await call(third, 'info')).nodes.length === 3);
  assert.equal((await call(third, 'channels')).channels.room.num_clients, 2);
  const begun = Date.now();
  await first.kill();
  await until('one is present', async () => (await clients()) === 1);
  t.diagnostic(`the ghost was gone after ${Date.now() - begun} ms`);
  assert.equal((await call(third, 'channels')).channels.room.num_clients, 1);
});

/** Numbers a channel's publications from 1, one after the other, each until it is acknowledged. */
class Publisher {
  acknowledged = 0;
  repeated = 0;
  ended = false;

  constructor(fleet, name) {
    this.fleet = fleet;
    this.name = name;
  }

  async run() {
    while (!this.ended) {
      await this.publish(this.acknowledged + 1);
      this.acknowledged += 1;
      await pause(PACE);
    }
  }

  async publish(number) {
    const params = { channel: this.name, data: { number }, idempotency_key: `${this.name}-${number}` };
    for (;;) {
      try {
        await call(this.fleet, 'publish', params);
        return;
      } catch {
        this.repeated += 1;
        await pause(PACE);
      }
    }
  }
}

/** A stock client with one subscription. */
class Listener {
  last = 0;
  count = 0;
  told = 0;
  longest = 0;
  wrong = [];
  /** Whether any number may come next: at the beginning, and when it was told that something is missing. */
  #fresh = true;
  #heard = Date.now();

  constructor(t, fleet, channel) {
    const { client, sockets } = connect(t, fleet, DELAYS);
    this.sockets = sockets;
    this.client = client;
    this.channel = channel;
    this.subscription = client.newSubscription(channel.name);
    this.subscription.on('subscribed', ({ wasRecovering, recovered }) => {
      if (!wasRecovering || recovered) return;
      this.told += 1;
      this.#fresh = true;
    });
    this.subscription.on('publication', ({ data }) => this.#hear(data.number));
    this.subscription.subscribe();
  }

  describe() {
    return `${this.channel.name} at ${this.last} of ${this.channel.acknowledged}, ${this.client.state} ${this.subscription.state}`;
  }

  #hear(number) {
    const now = Date.now();
    this.longest = Math.max(this.longest, now - this.#heard);
    this.#heard = now;
    this.count += 1;
    if (!this.#fresh && number !== this.last + 1) this.wrong.push(`${this.channel.name}: ${number} after ${this.last}`);
    this.#fresh = false;
    this.last = number;
  }
}

function sum(list, of) {
  return list.reduce((total, item) => total + of(item), 0);
}

/** The most connections begun within one second since `begun`. */
function peak(listeners, begun) {
  const times = listeners.flatMap(({ sockets }) => sockets.map((socket) => socket.begun));
  const since = times.filter((time) => time >= begun).sort((a, b) => a - b);
  let from = 0;
  let most = 0;
  since.forEach((time, index) => {
    while (time - since[from] >= 1_000) from += 1;
    most = Math.max(most, index - from + 1);
  });
  return most;
}
