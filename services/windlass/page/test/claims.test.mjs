import assert from "node:assert/strict";
import { test } from "node:test";
import { claim, claimed, slot } from "../claims.js";

/** Web Locks as the browser has them, for one page's worth of tests. */
function locks() {
  const held = new Map();
  const waiting = [];
  const give = (name, callback) => {
    held.set(name, true);
    const end = () => {
      held.delete(name);
      const next = waiting.findIndex((each) => each.name === name);
      if (next >= 0) waiting.splice(next, 1)[0].go();
    };
    return Promise.resolve(callback({ name })).finally(end);
  };
  return {
    request(name, { ifAvailable, signal }, callback) {
      if (!held.has(name)) return Promise.resolve().then(() => (held.has(name) ? callback(null) : give(name, callback)));
      if (ifAvailable) return Promise.resolve(callback(null));
      return new Promise((resolve, reject) => {
        const each = { name, go: () => resolve(give(name, callback)) };
        waiting.push(each);
        signal.addEventListener("abort", () => {
          const at = waiting.indexOf(each);
          if (at < 0) return;
          waiting.splice(at, 1);
          reject(signal.reason);
        });
      });
    },
    query: async () => ({ held: [...held.keys()].map((name) => ({ name })) }),
    waiting,
    held,
  };
}

function withLocks(t) {
  const made = locks();
  const own = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", { value: { locks: made }, configurable: true });
  t.after(() => (own ? Object.defineProperty(globalThis, "navigator", own) : delete globalThis.navigator));
  return made;
}

const never = new AbortController().signal;
const turn = () => new Promise((resolve) => setImmediate(resolve));

test("a task is claimed by one tab at a time", async (t) => {
  withLocks(t);
  const release = await claim("t1");
  assert.equal(await claim("t1"), null);
  assert.deepEqual([...(await claimed())], ["t1"]);
  release();
  await turn();
  assert.notEqual(await claim("t1"), null);
});

test("the fourth waits until one of three slots is given back, and takes only that", async (t) => {
  const made = withLocks(t);
  const first = [];
  for (let i = 0; i < 3; i += 1) first.push(await slot(3, never));
  let fourth;
  const coming = slot(3, never).then((release) => (fourth = release));
  await turn();
  assert.equal(fourth, undefined);
  first[1]();
  await coming;
  await turn();
  assert.equal(made.held.size, 3);
  assert.equal(made.waiting.length, 0);
  for (const release of [first[0], first[2], fourth]) release();
  await turn();
  assert.equal(made.held.size, 0);
});

test("who stops waiting for a slot leaves nothing behind", async (t) => {
  const made = withLocks(t);
  const release = await slot(1, never);
  const controller = new AbortController();
  const coming = slot(1, controller.signal);
  await turn();
  controller.abort();
  await assert.rejects(coming, { name: "AbortError" });
  assert.equal(made.waiting.length, 0);
  release();
  await turn();
  assert.equal(made.held.size, 0);
});

test("a browser without locks is not held up", async () => {
  assert.equal(typeof (await claim("t1")), "function");
  assert.equal(typeof (await slot(3, never)), "function");
});
