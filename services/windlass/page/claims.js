// What the tabs of one browser agree on, by Web Locks: they end with the tab that holds them.
//
// - A claim says which tab sends a task. Two tabs that were given the same file would otherwise take the upload from
//   each other again and again.
// - A slot is the right to send. All tabs share the browser's few connections to the server; if each took its three,
//   nothing would be left to pause with.

const PREFIX = "windlass:sends:";
const SLOT = "windlass:slot:";

/** Resolves to a function that releases the claim, or to null if another tab has it. */
export function claim(taskId) {
  const locks = globalThis.navigator?.locks;
  if (!locks) return Promise.resolve(() => {});
  return new Promise((resolve) => {
    locks
      .request(PREFIX + taskId, { ifAvailable: true }, (lock) => {
        if (!lock) return resolve(null);
        return new Promise((release) => resolve(release));
      })
      // Locks can be forbidden by the browser's settings; the server's own rules still hold then.
      .catch(() => resolve(() => {}));
  });
}

/** The tasks that some tab of this browser sends just now. */
export async function claimed() {
  try {
    const { held = [] } = await globalThis.navigator.locks.query();
    return new Set(held.filter((l) => l.name.startsWith(PREFIX)).map((l) => l.name.slice(PREFIX.length)));
  } catch {
    return new Set();
  }
}

/** Resolves to a function that gives the slot back, as soon as one of `limit` is free; rejects when `signal` aborts. */
export async function slot(limit, signal) {
  const locks = globalThis.navigator?.locks;
  if (!locks) return () => {};
  const names = Array.from({ length: limit }, (_, index) => SLOT + index);
  const stopAsking = new AbortController();
  const stop = () => stopAsking.abort(signal.reason);
  signal.addEventListener("abort", stop);
  try {
    signal.throwIfAborted();
    return await new Promise((resolve, reject) => {
      let taken = false;
      for (const name of names) {
        locks
          .request(name, { signal: stopAsking.signal }, (lock) => {
            // Two may be given at the same time: the second goes back at once.
            if (!lock || taken) return undefined;
            taken = true;
            return new Promise((release) => {
              resolve(release);
              stopAsking.abort();
            });
          })
          .catch((error) => {
            if (signal.aborted) reject(signal.reason);
            // Locks forbidden by the browser's settings: this tab's own queue still holds.
            else if (!taken && error.name !== "AbortError") resolve(() => {});
          });
      }
    });
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
