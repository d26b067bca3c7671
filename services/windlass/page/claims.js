// Which tab of this browser sends a task: a Web Lock named after it. Without locks two tabs that were given the
// same file would take the upload from each other again and again.

const PREFIX = "windlass:sends:";

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
