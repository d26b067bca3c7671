// Numbered publications, and subscribers who count along: stock clients for JavaScript and for Python.

import { setTimeout as pause } from 'node:timers/promises';
import { connect } from './centrifuge.mjs';
import { call } from './push-redis.mjs';
import { startPython } from './python.mjs';
import { until } from './wait.mjs';

/** Milliseconds between a channel's publications. */
const PACE = 200;
/** As a page would set them, if it wanted to be back soon; the Python script has the same. */
const DELAYS = { minReconnectDelay: 200, maxReconnectDelay: 2_000 };

/** Numbers a channel's publications from 1, one after the other, each until it is acknowledged. */
export class Publisher {
  acknowledged = 0;
  repeated = 0;
  ended = false;
  isGivenUp = false;

  constructor(t, fleet, name) {
    this.fleet = fleet;
    this.name = name;
    t.after(() => (this.ended = this.isGivenUp = true));
  }

  async run() {
    while (!this.ended) {
      await this.#publish(this.acknowledged + 1);
      await pause(PACE);
    }
  }

  /** One that was tried and not acknowledged when it is to end may have been made, so it is tried until it is. */
  async #publish(number) {
    const params = { channel: this.name, data: { number }, idempotency_key: `${this.name}-${number}` };
    while (this.acknowledged < number && !this.isGivenUp) {
      try {
        await call(this.fleet, 'publish', params);
        this.acknowledged = number;
      } catch {
        this.repeated += 1;
        await pause(PACE);
      }
    }
  }
}

/** What one subscriber heard of a publisher. */
class Count {
  last = 0;
  count = 0;
  told = 0;
  longest = 0;
  wrong = [];
  /** Whether any number may come next: at the beginning, and when it was told that something is missing. */
  #fresh = true;
  #heard = Date.now();

  constructor(channel) {
    this.channel = channel;
  }

  /** Counts the silence anew. */
  begin() {
    this.longest = 0;
    this.#heard = Date.now();
  }

  tell() {
    this.told += 1;
    this.#fresh = true;
  }

  hear(number) {
    const now = Date.now();
    this.longest = Math.max(this.longest, now - this.#heard);
    this.#heard = now;
    this.count += 1;
    if (!this.#fresh && number !== this.last + 1) this.wrong.push(`${this.describe()}: ${number} after ${this.last}`);
    this.#fresh = false;
    this.last = number;
  }

  describe() {
    return `${this.kind} of ${this.channel.name} at ${this.last} of ${this.channel.acknowledged}`;
  }
}

/** A stock client for JavaScript with one subscription. */
export class Listener extends Count {
  kind = 'centrifuge-js';

  constructor(t, fleet, channel) {
    super(channel);
    const { client, sockets } = connect(t, fleet, { ...DELAYS, ...(fleet.token && { token: fleet.token }) });
    this.client = client;
    this.sockets = sockets;
    this.subscription = client.newSubscription(channel.name);
    this.subscription.on('subscribed', ({ wasRecovering, recovered }) => {
      if (wasRecovering && !recovered) this.tell();
    });
    this.subscription.on('publication', ({ data }) => this.hear(data.number));
    this.subscription.subscribe();
  }

  describe() {
    return `${super.describe()}, ${this.subscription.state}`;
  }
}

/** Some stock clients for Python, in one process. */
export async function listenInPython(t, fleet, channels, count) {
  const counts = Array.from({ length: count }, (_, index) => new Count(channels[index % channels.length]));
  const subscribed = new Set();
  const hear = ({ client, subscribed: isSubscribed, told, number }) => {
    if (isSubscribed) subscribed.add(client);
    if (told) counts[client].tell();
    if (number !== undefined) counts[client].hear(number);
  };
  for (const one of counts) one.kind = 'centrifuge-python';
  const args = [`${fleet.webSocketOrigin}/connection/websocket`, count, ...channels.map(({ name }) => name)];
  startPython(t, 'centrifuge_listen.py', args, { hear });
  await until('the subscriptions of Python', () => subscribed.size === count);
  return counts;
}

/** The most of these times, in milliseconds, that are within one second. */
export function peak(times) {
  const sorted = [...times].sort((a, b) => a - b);
  let from = 0;
  let most = 0;
  sorted.forEach((time, index) => {
    while (time - sorted[from] >= 1_000) from += 1;
    most = Math.max(most, index - from + 1);
  });
  return most;
}
