// A real Redis for one test: killed, stopped, emptied, made a replica of another, promoted. Never the machine's own.

import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import { temporaryFolder } from './files.mjs';
import { Program } from './program.mjs';
import { freePort } from './server.mjs';
import { until } from './wait.mjs';

const run = promisify(execFile);

/** A `redis-server` with its own folder, on the same port after each restart. */
export class Redis {
  #t;
  #folder;
  #program;

  /** Starts one for test `t`. */
  static async start(t) {
    const redis = new Redis();
    redis.#t = t;
    redis.#folder = await temporaryFolder(t);
    redis.port = await freePort();
    await redis.#begin();
    return redis;
  }

  async #begin() {
    const options = ['--port', this.port, '--bind', '127.0.0.1', '--dir', this.#folder.path, '--save', ''];
    // As the operator sets it: a crash loses up to a second.
    options.push('--appendonly', 'yes', '--appendfsync', 'everysec', '--repl-diskless-sync-delay', '0');
    this.#program = await Program.start(this.#t, 'redis-server', options.map(String), this.port);
    await until('Redis has loaded its data', () => this.command('PING'));
  }

  get address() {
    return `127.0.0.1:${this.port}`;
  }

  /** Sends one command; returns what `redis-cli` prints. */
  async command(...words) {
    const { stdout } = await run('redis-cli', ['-p', this.port, ...words].map(String));
    if (/^(ERR|LOADING|READONLY|MASTERDOWN)\b/.test(stdout)) throw new Error(`${words[0]}: ${stdout}`);
    return stdout.trim();
  }

  /** `kill -9` and a new process, with what it had on disk or with nothing. */
  async restart({ wiped = false } = {}) {
    await this.#program.end('SIGKILL');
    if (wiped) await rm(`${this.#folder.path}/appendonlydir`, { recursive: true, force: true });
    await this.#begin();
  }

  /** Ends it for good. */
  end() {
    return this.#program.end('SIGKILL');
  }

  /** Copies `other` from now on; resolves when all that `other` had has been copied. */
  async follow(other) {
    await this.command('REPLICAOF', '127.0.0.1', other.port);
    await until('the copy is whole', async () => {
      const replication = await this.command('INFO', 'replication');
      return /master_link_status:up/.test(replication) && /master_sync_in_progress:0/.test(replication);
    });
  }

  promote() {
    return this.command('REPLICAOF', 'NO', 'ONE');
  }
}
