// A way to stand in the middle of an upload: an HTTP agent whose connections let so many bytes out and no more, until
// the gate is opened. The SDK above it is unchanged, as behind a slow line.

import http from 'node:http';
import net from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { deferred } from './wait.mjs';

/** Bytes handed to the kernel at once: small, so that the gate closes close to its limit. */
const SLICE = 64 * 1024;

/** An agent that lets `limit` bytes out over all its connections and holds the rest until `allow` or `open`. */
export class Gate extends http.Agent {
  #left;
  #more = deferred();
  #reached = deferred();

  constructor(limit) {
    super({ keepAlive: false });
    this.#left = limit;
  }

  /** Resolves when the limit is reached: from then on nothing leaves. */
  get reached() {
    return this.#reached.promise;
  }

  /** Lets so many more bytes out. */
  allow(bytes) {
    this.#left += bytes;
    this.#more.resolve();
    this.#more = deferred();
    this.#reached = deferred();
  }

  open() {
    this.allow(Infinity);
  }

  createConnection(options) {
    return writingBy(net.connect(options), (write, bytes, done) => this.#send(write, bytes, done));
  }

  async #send(write, bytes, done) {
    for (let sent = 0; sent < bytes.length; ) {
      while (this.#left === 0) {
        this.#reached.resolve();
        await this.#more.promise;
      }
      const slice = bytes.subarray(sent, sent + Math.min(SLICE, this.#left));
      this.#left -= slice.length;
      sent += slice.length;
      const error = await new Promise((resolve) => write(slice, resolve));
      if (error) return done(error);
    }
    done();
  }
}

/** An agent each of whose connections lets so many bytes a second out: a slow line. */
export class SlowLine extends http.Agent {
  #rate;

  constructor(bytesPerSecond) {
    super({ keepAlive: false });
    this.#rate = bytesPerSecond;
  }

  createConnection(options) {
    return writingBy(net.connect(options), (write, bytes, done) => this.#send(write, bytes, done));
  }

  async #send(write, bytes, done) {
    for (let sent = 0; sent < bytes.length; sent += SLICE) {
      const slice = bytes.subarray(sent, sent + SLICE);
      const error = await new Promise((resolve) => write(slice, resolve));
      if (error) return done(error);
      await pause((1_000 * slice.length) / this.#rate);
    }
    done();
  }
}

/** A socket whose bytes go out as `send(write, bytes, done)` does it. */
function writingBy(socket, send) {
  const write = socket._write;
  // Node's own hooks for a stream's writing side; without `_writev` every piece comes through `_write`.
  socket._writev = null;
  socket._write = (chunk, encoding, done) => {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk, encoding);
    send((slice, next) => write.call(socket, slice, 'buffer', next), bytes, done);
  };
  return socket;
}
