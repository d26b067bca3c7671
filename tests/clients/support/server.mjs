// Starts the real `windlass dev` binary for one test, kills it without warning, and starts it again on the same port.
// A server never outlives its test, nor the process of the tests.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { temporaryFolder } from './files.mjs';

/** Milliseconds from the start of the process to its `ready` line; only a stuck start takes longer. */
const READY_DEADLINE = 20_000;
/** Milliseconds for a drain to end after SIGTERM, before it is killed. */
const STOP_DEADLINE = 20_000;
/** What is kept of the server's log, in characters, to show when a test fails. */
const LOG_KEPT = 20_000;

const alive = new Set();
process.on('exit', () => alive.forEach((child) => child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));

/** A running `windlass dev` with its own data folder. */
export class Server {
  #child;
  #binary;
  #arguments;
  #environment;
  #log = '';

  /** Its data folder. */
  data;

  constructor(binary, args, environment) {
    this.data = args[args.indexOf('--data-dir') + 1];
    this.#binary = binary;
    this.#arguments = args;
    this.#environment = environment;
  }

  /** `http://127.0.0.1:PORT`, or `https` where its configuration says so. */
  origin;

  get webSocketOrigin() {
    return this.origin.replace('http', 'ws');
  }

  /** What the server wrote to standard error, its end. */
  get log() {
    return this.#log;
  }

  /** Starts the process and waits until it says that it is ready. Also starts it again after `kill`. */
  async start() {
    const child = spawn(this.#binary, this.#arguments, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...this.#environment },
    });
    this.#child = child;
    alive.add(child);
    child.once('exit', () => alive.delete(child));
    child.stderr.setEncoding('utf8').on('data', (text) => {
      this.#log = (this.#log + text).slice(-LOG_KEPT);
    });
    this.origin = await this.#readyLine(child);
  }

  #readyLine(child) {
    return new Promise((resolve, reject) => {
      const fail = (why) => reject(new Error(`${this.#binary} ${this.#arguments.join(' ')}: ${why}\n${this.#log}`));
      const timer = setTimeout(() => fail('not ready in time'), READY_DEADLINE);
      let output = '';
      child.stdout.setEncoding('utf8').on('data', (text) => {
        output += text;
        const ready = output.match(/^ready on (https?:\/\/\S+)\n/);
        if (ready) {
          clearTimeout(timer);
          resolve(ready[1]);
        }
      });
      child.once('error', (error) => fail(error.message));
      child.once('exit', (code, signal) => {
        clearTimeout(timer);
        fail(`ended before it was ready: ${signal ?? code}, standard output ${JSON.stringify(output)}`);
      });
    });
  }

  /** `kill -9`, and the wait until the process is gone. */
  async kill() {
    await this.#end('SIGKILL');
  }

  /** Sends a signal and waits for nothing. */
  signal(name) {
    this.#child.kill(name);
  }

  /** SIGTERM; returns the exit code. */
  async stop() {
    const killer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_DEADLINE);
    const code = await this.#end('SIGTERM');
    clearTimeout(killer);
    return code;
  }

  async #end(signal) {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    const exited = once(child, 'exit');
    child.kill(signal);
    const [code] = await exited;
    return code;
  }
}

/**
 * Starts a server for test `t`, which ends with it. `config` is the text of its configuration file.
 * The port is fixed, so that it is the same after a restart; `port` chooses it.
 */
export async function startServer(t, { args = [], config, port } = {}) {
  const binary = process.env.WINDLASS_BIN;
  if (!binary) throw new Error('WINDLASS_BIN must name the windlass binary; `tests/run clients` builds and sets it');
  const folder = await temporaryFolder(t);
  const all = ['dev', '--listen', `127.0.0.1:${port ?? (await freePort())}`, '--data-dir', join(folder.path, 'data'), ...args];
  if (config) all.push('--config', await folder.write('windlass.yaml', config));
  const server = new Server(binary, all, {});
  await server.start();
  t.after(async () => {
    await server.kill();
    if (process.env.WINDLASS_TEST_LOG) t.diagnostic(server.log);
  });
  return server;
}

/**
 * A port that nobody listens on, below the range that the kernel gives to outgoing connections: there, a client that
 * retries while the server is down could be given the server's own port and connect to itself.
 */
export async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const probe = createServer();
    try {
      await new Promise((resolve, reject) => probe.once('error', reject).listen(port, '127.0.0.1', resolve));
    } catch (error) {
      if (error.code === 'EADDRINUSE') continue;
      throw error;
    }
    await new Promise((resolve) => probe.close(resolve));
    return port;
  }
}
