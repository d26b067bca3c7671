// An upload that a test leads through its middle while others watch it.

import assert from 'node:assert/strict';
import { MIB, randomFile } from './files.mjs';
import { Gate } from './gate.mjs';
import { readTask, taskOf } from './http.mjs';
import { RETRY_DELAYS, stackThrough, startUpload } from './tus.mjs';
import { until } from './wait.mjs';

/** Bytes: the server acknowledges within a body at least at each part of 8 MiB, so each step is seen. */
const STEP = 9 * MIB;

/**
 * Starts an upload of 40 MiB that stops after its first step. `step()` lets the next one through and `finish()` the
 * rest; both resolve when the server acknowledged them. `id` is the task's.
 */
export async function startWatchedUpload(t, server) {
  const file = await randomFile(t, 40 * MIB);
  const gate = new Gate(STEP);
  const upload = startUpload(server, file, { httpStack: stackThrough(gate), retryDelays: RETRY_DELAYS });
  t.after(() => {
    gate.open();
    return upload.upload.abort();
  });
  const id = taskOf(await upload.url);
  const advance = (past) =>
    until('an acknowledged advance', async () => {
      const task = await readTask(server, id);
      return task.offset > past && task;
    });
  await advance(0);
  return {
    id,
    file,
    gate,
    url: upload.upload.url,
    requests: upload.requests,
    async step() {
      const before = (await readTask(server, id)).offset;
      gate.allow(STEP);
      return advance(before);
    },
    async finish() {
      gate.open();
      await upload.done;
    },
  };
}

/** The values that one watcher of a task got: never falling, some strictly between 0 and 100, the last one 100. */
export function assertWatched(values) {
  for (const [index, value] of values.entries()) {
    assert.ok(Number.isInteger(value) && value >= 0 && value <= 100, `${value} is no progress`);
    if (index > 0) assert.ok(value >= values[index - 1], `fell from ${values[index - 1]} to ${value}`);
  }
  assert.ok(values.some((value) => value > 0 && value < 100), `nothing between 0 and 100: ${values}`);
  assert.equal(values.at(-1), 100);
}
