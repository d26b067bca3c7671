// A real Redis for one test: killed, stopped, emptied, made a replica of another, promoted. Never the machine's own.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { temporaryFolder } from './files.mjs';
import { Program } from './program.mjs';
import { freePort } from './server.mjs';
import { until } from './wait.mjs';

const run = promisify(execFile);

/** Partitions of the records, each with a generation of its own (docs/redis.md). */
const PARTITIONS = 256;
/** Milliseconds within which a planned switchover is made, or none. */
const SWITCHOVER = 10_000;

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
    await this.inStep();
  }

  /** Resolves when this replica has what its primary has. */
  inStep() {
    return until('the copy is whole', async () => {
      const replication = await this.command('INFO', 'replication');
      return /master_link_status:up/.test(replication) && /master_sync_in_progress:0/.test(replication);
    });
  }

  promote() {
    return this.command('REPLICAOF', 'NO', 'ONE');
  }

  /** A planned switchover to a replica, as docs/redis.md tells those who run it; resolves when the replica is the primary. */
  async handOver(replica) {
    // Its link is up before this server counts what comes over it, and hands over to it.
    const heard = new RegExp(`port=${replica.port},state=online,offset=[1-9]`);
    await until('the replica is heard', async () => heard.test(await this.command('INFO', 'replication')));
    const [, heir] = (await replica.command('INFO', 'server')).match(/^run_id:(\w+)/m);
    const ends = Date.now() + SWITCHOVER;
    const generations = Array.from({ length: PARTITIONS }, (_, partition) => `upload:generation:{${partition}}`);
    const answer = await this.#transaction([
      ...generations.map((generation) => `HSET ${generation} heir ${heir}:${ends}`),
      `FAILOVER TO 127.0.0.1 ${replica.port} TIMEOUT ${SWITCHOVER}`,
    ]);
    if (!answer.endsWith('OK\n')) throw new Error(`the switchover is refused: ${answer.slice(-200)}`);
    const isPrimary = async () => /^role:master/m.test(await replica.command('INFO', 'replication'));
    await until('the replica is the primary', isPrimary);
  }

  /** Sends commands as one transaction; returns what `redis-cli` prints. */
  async #transaction(commands) {
    const child = spawn('redis-cli', ['-p', String(this.port)], { stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin.end(['MULTI', ...commands, 'EXEC', ''].join('\n'));
    const [output] = await Promise.all([text(child.stdout), once(child, 'close')]);
    return output;
  }
}
