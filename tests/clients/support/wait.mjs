// Waiting for a value, with a deadline; never for a time.

import { setTimeout as pause } from 'node:timers/promises';

/** Milliseconds; generous, because a pass does not depend on it and a slow machine must not fail. */
export const DEADLINE = 30_000;
/** Milliseconds between two looks. */
const INTERVAL = 15;

/**
 * Looks again and again until `look` returns something truthy, and returns that. What it throws counts as "not yet",
 * and is told when the deadline passes.
 */
export async function until(what, look, deadline = DEADLINE) {
  const end = Date.now() + deadline;
  let last;
  for (;;) {
    try {
      last = undefined;
      const value = await look();
      if (value) return value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`not within ${deadline} ms: ${what}`, { cause: last });
    await pause(INTERVAL);
  }
}

/** A promise that fails by itself when the deadline passes. */
export async function within(what, promise, deadline = DEADLINE) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${deadline} ms: ${what}`)), deadline);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A promise with its two ends outside. */
export function deferred() {
  let resolve, reject;
  const promise = new Promise((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
