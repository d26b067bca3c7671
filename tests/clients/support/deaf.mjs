// A way to Redis that can be made to swallow what is published and nothing else: replies, confirmations of subscriptions and
// checks pass, so no end of it sees anything wrong. Such a connection stands and brings nothing.

import net from 'node:net';
import { freePort } from './server.mjs';

/** How what a subscriber is brought begins (RESP3). */
const MESSAGE = Buffer.from('>3\r\n$7\r\nmessage\r\n');

/** Starts such a way to `redis` for test `t`; `address` is where clients connect. */
export async function startDeafening(t, redis) {
  const open = new Set();
  let isForAll = false;
  const server = net.createServer((client) => {
    const line = new Line(client, net.connect({ port: redis.port, host: '127.0.0.1' }), isForAll);
    open.add(line);
    client.once('close', () => open.delete(line));
  });
  const port = await freePort();
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  t.after(() => {
    open.forEach((line) => line.end());
    return new Promise((resolve) => server.close(resolve));
  });
  const deafen = (isDeaf) => open.forEach((line) => (line.isDeaf = isDeaf));
  return {
    address: `127.0.0.1:${port}`,
    /** Swallows on the connections that there are, and with `{ all: true }` on those to come too. */
    deafen({ all = false } = {}) {
      isForAll = all;
      deafen(true);
    },
    /** Swallows nothing more. What was swallowed does not come back. */
    hear() {
      isForAll = false;
      deafen(false);
    },
  };
}

class Line {
  isDeaf;
  #client;
  #redis;
  #held = Buffer.alloc(0);

  constructor(client, redis, isDeaf) {
    this.isDeaf = isDeaf;
    [this.#client, this.#redis] = [client, redis];
    client.setNoDelay().on('data', (bytes) => redis.write(bytes));
    redis.setNoDelay().on('data', (bytes) => this.#bring(bytes));
    for (const side of [client, redis]) side.on('error', () => {}).once('close', () => this.end());
  }

  end() {
    this.#client.destroy();
    this.#redis.destroy();
  }

  /** Passes on what is whole, but not the messages. */
  #bring(bytes) {
    this.#held = Buffer.concat([this.#held, bytes]);
    for (;;) {
      const begin = this.#held.indexOf(MESSAGE);
      if (begin < 0) return this.#pass(this.#held.length - beginning(this.#held));
      this.#pass(begin);
      const end = endOf(this.#held);
      if (end === undefined) return;
      if (this.isDeaf) this.#held = this.#held.subarray(end);
      else this.#pass(end);
    }
  }

  #pass(count) {
    if (count > 0) this.#client.write(this.#held.subarray(0, count));
    this.#held = this.#held.subarray(count);
  }
}

/** How many bytes at the end may be the beginning of a message. */
function beginning(bytes) {
  for (let length = Math.min(MESSAGE.length - 1, bytes.length); length > 0; length -= 1) {
    if (bytes.subarray(bytes.length - length).equals(MESSAGE.subarray(0, length))) return length;
  }
  return 0;
}

/** Where the message at the start ends: after its channel and its payload. */
function endOf(bytes) {
  let at = MESSAGE.length;
  for (let string = 0; string < 2; string += 1) {
    const line = bytes.indexOf('\r\n', at);
    if (line < 0) return undefined;
    at = line + 2 + Number(bytes.toString('latin1', at + 1, line)) + 2;
  }
  return at <= bytes.length ? at : undefined;
}
