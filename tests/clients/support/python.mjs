// Runs a Python script of this folder with the locked packages, and talks to it by lines of JSON.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { deferred, until, within } from './wait.mjs';

/**
 * Starts `python/NAME` for test `t`. `lines` grows with what it prints, or `hear` is told each line; `ended` rejects with its
 * error output.
 */
export function startPython(t, name, args, { hear } = {}) {
  const interpreter = process.env.WINDLASS_PYTHON;
  if (!interpreter) throw new Error('WINDLASS_PYTHON must name an interpreter with requirements.txt installed');
  const script = fileURLToPath(new URL(`../python/${name}`, import.meta.url));
  const child = spawn(interpreter, [script, ...args.map(String)], { stdio: 'pipe' });
  t.after(() => child.kill('SIGKILL'));
  const lines = [];
  const ended = deferred();
  let errors = '';
  hear ??= (line) => lines.push(line);
  createInterface({ input: child.stdout }).on('line', (line) => hear(JSON.parse(line)));
  child.stderr.setEncoding('utf8').on('data', (text) => (errors += text));
  child.once('error', ended.reject);
  child.once('close', (code, signal) => {
    if (code === 0) ended.resolve(lines);
    else ended.reject(new Error(`${name} ended with ${signal ?? code}\n${errors}`));
  });
  ended.promise.catch(() => {});
  return {
    lines,
    /** Waits for its end, for `deadline` milliseconds if it has much to do. */
    ended: (deadline) => within(`${name} ends`, ended.promise, deadline),
    say: () => child.stdin.write('\n'),
    /** Waits for a printed line; what ends the script early ends the wait. */
    line: (what, wanted) => Promise.race([until(what, () => lines.find(wanted)), ended.promise.then(() => lines.find(wanted))]),
  };
}
