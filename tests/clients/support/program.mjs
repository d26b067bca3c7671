// Starts a program from another project for one test, and waits until it answers on its port.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { join } from 'node:path';
import { until } from './wait.mjs';

/** What is kept of a program's output, in characters, to show when it does not start. */
const OUTPUT_KEPT = 20_000;

const alive = new Set();
process.on('exit', () => alive.forEach((child) => child.kill('SIGKILL')));

/** A program of `tests/tools`, by its name. */
export function tool(name) {
  const folder = process.env.WINDLASS_TOOLS;
  if (!folder) throw new Error('WINDLASS_TOOLS must name the folder of tusd and toxiproxy; `tests/run tools` builds it');
  return join(folder, name);
}

/** A running program that ends with its test. */
export class Program {
  #child;
  #output = '';

  /** Starts `binary`, and waits until somebody listens on `port`. */
  static async start(t, binary, args, port) {
    const program = new Program();
    const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    program.#child = child;
    alive.add(child);
    child.once('exit', () => alive.delete(child));
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => (program.#output = (program.#output + text).slice(-OUTPUT_KEPT)));
    }
    t.after(() => program.end('SIGKILL'));
    await until(`${binary} listens`, async () => {
      if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${program.#output}`);
      return listens(port);
    });
    return program;
  }

  /** Sends a signal and waits until the process is gone. */
  async end(signal) {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  }
}

function listens(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(socket.destroy() && true));
    socket.once('error', () => resolve(false));
  });
}
