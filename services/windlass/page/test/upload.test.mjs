// The way of one file, against a server that answers as it is told. Timers are the test's own.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ResumeStore, fingerprint } from "../resume.js";
import { Upload } from "../upload.js";

const LOCATION = "/files/default/task-1/key";

/** `script` holds the answers of each request in order; the last one is repeated. */
function bench(t, script, { size = 100, entry = null } = {}) {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const log = [];
  const states = [];
  const next = (name, ...args) => {
    log.push([name, ...args]);
    const answers = script[name] ?? [];
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    assert.ok(answer, `no answer to ${name}`);
    return typeof answer === "function" ? answer(...args) : answer;
  };
  const file = new File(["x".repeat(size)], "a.bin", { lastModified: 1 });
  const store = new ResumeStore(null);
  if (entry) store.save({ fingerprint: fingerprint(file), path: "", name: "a.bin", size, savedAt: 0, finished: false, ...entry });
  const tus = {
    create: async () => next("create"),
    head: async () => next("head"),
    terminate: async () => next("terminate"),
    append: (location, f, offset, { signal, onsent }) => ({
      done: new Promise((resolve) => {
        signal.addEventListener("abort", () => resolve({ ok: false, during: "patch", kind: "network" }));
        const answer = next("append", offset, onsent);
        if (answer !== "hang") resolve(answer);
      }),
      touch() {},
    }),
  };
  const tasks = {
    pause: async () => next("pause"),
    resume: async () => next("resume"),
    look: async () => next("look"),
  };
  const changed = (u) => {
    if (states.at(-1) !== u.state) states.push(u.state);
  };
  const deps = { tus, tasks, store, changed, claim: script.claim ?? (async () => () => {}), slot: async () => () => {}, random: () => 1, now: () => Date.now() };
  const upload = new Upload({ file, entry: entry && store.get(entry.taskId) }, deps);
  const requests = () => log.map(([name]) => name);
  return { upload, store, log, states, requests, settle, tick: async (ms) => (t.mock.timers.tick(ms), settle()) };
}

// All promises that need no timer are done after a few turns of the loop.
async function settle() {
  for (let i = 0; i < 20; i += 1) await new Promise((resolve) => setImmediate(resolve));
}

const created = { ok: true, location: LOCATION, taskId: "task-1" };
const at = (offset) => ({ ok: true, offset, length: 100 });
const lost = (during) => ({ ok: false, during, kind: "network" });
const status = (during, code, more = {}) => ({ ok: false, during, kind: "status", status: code, ...more });
const remembered = { taskId: "task-1", location: LOCATION };
const uploading = { ok: true, task: { taskId: "task-1", status: "uploading" } };

test("a new file is created, sent in one request and complete", async (t) => {
  const b = bench(t, { create: [created], append: [{ ok: true, offset: 100 }] });
  await b.upload.run();
  assert.deepEqual(b.requests(), ["create", "append"]);
  assert.deepEqual(b.states, ["starting", "sending", "completed"]);
  assert.equal(b.store.get("task-1").finished, true);
});

test("an empty file is complete when it is created", async (t) => {
  const b = bench(t, { create: [created] }, { size: 0 });
  await b.upload.run();
  assert.deepEqual(b.requests(), ["create"]);
  assert.equal(b.upload.state, "completed");
});

test("a remembered upload goes on at the server's offset", async (t) => {
  const b = bench(t, { head: [at(40)], append: [{ ok: true, offset: 100 }] }, { entry: remembered });
  await b.upload.run();
  assert.deepEqual(b.log.map(([name, offset]) => [name, offset]), [["head", undefined], ["append", 40]]);
  assert.equal(b.upload.state, "completed");
});

test("a server that takes a part only gets the rest", async (t) => {
  const b = bench(t, { create: [created], append: [{ ok: true, offset: 30 }, { ok: true, offset: 100 }] });
  await b.upload.run();
  assert.deepEqual(b.log.map(([, offset]) => offset), [undefined, 0, 30]);
});

test("a killed server is waited for as long as it takes, and the upload goes on where it was", async (t) => {
  const down = Array.from({ length: 30 }, () => lost("head"));
  const b = bench(t, {
    create: [created],
    append: [lost("patch"), { ok: true, offset: 100 }],
    look: [lost("look")],
    head: [...down, at(60)],
  });
  const run = b.upload.run();
  await b.settle();
  assert.equal(b.upload.state, "retrying");
  for (let i = 0; i < 31; i += 1) await b.tick(10_000);
  await run;
  assert.equal(b.upload.state, "completed");
  assert.deepEqual(b.log.at(-1).slice(0, 2), ["append", 60]);
  assert.equal(b.requests().filter((name) => name === "create").length, 1);
});

test("after three tries in a row without an advance the upload is interrupted", async (t) => {
  const b = bench(t, {
    create: [created],
    append: [status("patch", 503, { detail: "The store is away." })],
    look: [uploading],
    head: [at(0)],
  });
  const run = b.upload.run();
  for (const wait of [1000, 2000, 4000]) {
    await b.settle();
    assert.equal(b.upload.state, "retrying");
    await b.tick(wait - 1);
    assert.equal(b.upload.state, "retrying");
    await b.tick(1);
  }
  await run;
  assert.equal(b.upload.state, "interrupted");
  assert.equal(b.upload.note, "The store is away.");
  assert.equal(b.requests().filter((name) => name === "append").length, 4);
});

test("each advance gives three new tries", async (t) => {
  let offset = 0;
  const b = bench(t, {
    create: [created],
    append: [() => status("patch", 503)],
    look: [uploading],
    head: [() => at((offset += 10))],
  });
  const run = b.upload.run();
  for (let i = 0; i < 9; i += 1) {
    await b.settle();
    await b.tick(1000);
  }
  assert.equal(b.upload.acknowledged, 90);
  await b.tick(1000);
  await run;
  assert.equal(b.upload.state, "completed");
});

test("what a refused upload gets told is the server's own words", async (t) => {
  const b = bench(t, { create: [status("create", 413, { detail: "At most 1 GB." })] });
  await b.upload.run();
  assert.equal(b.upload.state, "stopped");
  assert.equal(b.upload.note, "At most 1 GB.");
});

test("an upload that is gone is not begun again until the user says so", async (t) => {
  const b = bench(t, { head: [status("head", 410)], create: [created], append: [{ ok: true, offset: 100 }] }, { entry: remembered });
  await b.upload.run();
  assert.equal(b.upload.state, "gone");
  assert.deepEqual(b.requests(), ["head"]);
  b.upload.startAgain();
  await b.upload.run();
  assert.deepEqual(b.requests(), ["head", "create", "append"]);
  assert.equal(b.upload.state, "completed");
});

test("pause stops sending before it tells the server, and resume tells it before it goes on", async (t) => {
  const b = bench(t, {
    create: [created],
    append: ["hang", { ok: true, offset: 100 }],
    pause: [uploading],
    resume: [uploading],
    head: [at(20)],
  });
  const run = b.upload.run();
  await b.settle();
  assert.equal(b.upload.state, "sending");
  const pausing = b.upload.pause();
  assert.equal(b.upload.state, "paused");
  await Promise.all([run, pausing]);
  assert.deepEqual(b.requests(), ["create", "append", "pause"]);
  b.upload.resume();
  await b.upload.run();
  assert.deepEqual(b.requests(), ["create", "append", "pause", "resume", "head", "append"]);
  assert.equal(b.upload.state, "completed");
});

test("a pause right after a resume reaches the server after it, and nothing is sent", async (t) => {
  let resumed;
  const b = bench(t, {
    create: [created],
    append: ["hang"],
    pause: [uploading],
    resume: [() => new Promise((resolve) => (resumed = resolve))],
  });
  b.upload.run();
  await b.settle();
  await b.upload.pause();
  b.upload.resume();
  const run = b.upload.run();
  await b.settle();
  const pausing = b.upload.pause();
  await b.settle();
  assert.deepEqual(b.requests(), ["create", "append", "pause", "resume"]);
  resumed(uploading);
  await Promise.all([pausing, run]);
  assert.deepEqual(b.requests(), ["create", "append", "pause", "resume", "pause"]);
  assert.equal(b.upload.state, "paused");
});

test("what became complete while the user was asked is not cancelled", async (t) => {
  const b = bench(t, { create: [created], append: [{ ok: true, offset: 100 }] });
  await b.upload.run();
  assert.equal(await b.upload.cancel(), false);
  assert.equal(b.upload.state, "completed");
});

test("a pause from elsewhere waits for the user, or for somebody who resumes the task", async (t) => {
  const b = bench(t, {
    create: [created],
    append: [status("patch", 409, { code: "paused" }), { ok: true, offset: 100 }],
    head: [at(20)],
  });
  await b.upload.run();
  assert.equal(b.upload.state, "paused");
  // A list that was made before the pause arrives after it.
  assert.equal(b.upload.observeStatus("uploading"), false);
  assert.equal(b.upload.observeStatus("paused"), false);
  assert.equal(b.upload.observeStatus("uploading"), true);
  await b.upload.run();
  assert.equal(b.upload.state, "completed");
});

test("a pause whose answer was lost with the connection is not undone by the next try", async (t) => {
  const b = bench(t, {
    create: [created],
    append: [lost("patch")],
    head: [at(20)],
    look: [{ ok: true, task: { taskId: "task-1", status: "paused" } }],
  });
  const run = b.upload.run();
  await b.settle();
  await b.tick(1000);
  await run;
  assert.equal(b.upload.state, "paused");
  assert.equal(b.requests().filter((name) => name === "append").length, 1);
});

test("cancel during the creation deletes what the creation made", async (t) => {
  let answer;
  const b = bench(t, { create: [() => new Promise((resolve) => (answer = resolve))], terminate: [{ ok: true }] });
  const run = b.upload.run();
  await b.settle();
  const cancelling = b.upload.cancel();
  answer(created);
  assert.equal(await cancelling, true);
  await run;
  assert.deepEqual(b.requests(), ["create", "terminate"]);
  assert.equal(b.upload.state, "cancelled");
  assert.equal(b.store.get("task-1"), null);
});

test("an upload that another tab sends is left to it", async (t) => {
  const b = bench(t, { claim: async () => null }, { entry: remembered });
  await b.upload.run();
  assert.equal(b.upload.state, "elsewhere");
  assert.deepEqual(b.requests(), []);
});

test("another file under the same location is never appended to", async (t) => {
  const b = bench(t, { head: [{ ok: true, offset: 10, length: 99 }] }, { entry: remembered });
  await b.upload.run();
  assert.equal(b.upload.state, "stopped");
  assert.deepEqual(b.requests(), ["head"]);
});

test("the acknowledged bytes never go down", async (t) => {
  const b = bench(t, { head: [at(50)], append: ["hang"] }, { entry: remembered });
  b.upload.run();
  await b.settle();
  b.upload.acknowledgePercent(70);
  b.upload.acknowledgePercent(60);
  assert.equal(b.upload.acknowledged, 70);
});
