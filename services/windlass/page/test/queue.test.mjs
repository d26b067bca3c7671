import assert from "node:assert/strict";
import { test } from "node:test";
import { Queue } from "../queue.js";

function job(name, log) {
  const self = { name, runs: 0 };
  self.run = () => {
    self.runs += 1;
    log.push(name);
    return new Promise((resolve) => {
      self.end = resolve;
    });
  };
  return self;
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test("no more than the limit run at once, the others follow in order", async () => {
  const log = [];
  const queue = new Queue(2);
  const [a, b, c, d] = ["a", "b", "c", "d"].map((name) => job(name, log));
  for (const each of [a, b, c, d]) queue.add(each);
  assert.deepEqual(log, ["a", "b"]);
  b.end();
  await settled();
  assert.deepEqual(log, ["a", "b", "c"]);
  queue.remove(d);
  a.end();
  c.end();
  await settled();
  assert.deepEqual(log, ["a", "b", "c"]);
});

test("what the user asks for now goes before the others", async () => {
  const log = [];
  const queue = new Queue(1);
  const [a, b, c] = ["a", "b", "c"].map((name) => job(name, log));
  queue.add(a);
  queue.add(b);
  queue.add(c, { first: true });
  a.end();
  await settled();
  assert.deepEqual(log, ["a", "c"]);
});

test("a job that is added again while its last run ends is not run twice at once", async () => {
  const log = [];
  const queue = new Queue(2);
  const a = job("a", log);
  queue.add(a);
  queue.add(a);
  assert.equal(a.runs, 1);
  a.end();
  await settled();
  assert.equal(a.runs, 2);
});
