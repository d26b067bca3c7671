// A way to stand in the middle of an upload: an HTTP agent whose connections let so many bytes out and no more, until
// the gate is opened. The SDK above it is unchanged, as behind a slow line.

import http from 'node:http';
import net from 'node:net';
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
    const socket = net.connect(options);
    const write = socket._write;
    // Node's own hooks for a stream's writing side; without `_writev` every piece comes through `_write`.
    socket._writev = null;
    socket._write = (chunk, encoding, done) => {
      const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk, encoding);
      this.#send((slice, next) => write.call(socket, slice, 'buffer', next), bytes, done);
    };
    return socket;
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
