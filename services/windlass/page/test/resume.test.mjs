import assert from "node:assert/strict";
import { test } from "node:test";
import { ResumeStore, fingerprint } from "../resume.js";

const file = (name, size = 10, lastModified = 1) => ({ name, size, lastModified });
const entry = (taskId, f, more = {}) => ({
  taskId,
  location: `/files/default/${taskId}/key`,
  fingerprint: fingerprint(f),
  path: "",
  name: f.name,
  size: f.size,
  lastModified: f.lastModified,
  savedAt: 0,
  finished: false,
  ...more,
});

test("a fingerprint tells files apart by name, size and age", () => {
  const base = fingerprint(file("a.txt"));
  assert.equal(fingerprint(file("a.txt")), base);
  assert.notEqual(fingerprint(file("b.txt")), base);
  assert.notEqual(fingerprint(file("a.txt", 11)), base);
  assert.notEqual(fingerprint(file("a.txt", 10, 2)), base);
  // No name can imitate another file's numbers.
  assert.notEqual(fingerprint(file("a|1", 2, 3)), fingerprint(file("a", 1, "2|3")));
});

test("the same file is found again until it is finished or forgotten", () => {
  const store = new ResumeStore(null);
  store.save(entry("t1", file("a")));
  assert.equal(store.find(file("a"), "").taskId, "t1");
  assert.equal(store.find(file("a", 11), ""), null);
  store.finish("t1");
  assert.equal(store.find(file("a"), ""), null);
  assert.equal(store.get("t1").finished, true);
  store.forget("t1");
  assert.equal(store.get("t1"), null);
});

test("files that differ only in their folder are not mixed up", () => {
  const store = new ResumeStore(null);
  store.save(entry("t1", file("index.html"), { path: "a", savedAt: 1 }));
  store.save(entry("t2", file("index.html"), { path: "b", savedAt: 2 }));
  assert.equal(store.find(file("index.html"), "a").taskId, "t1");
  assert.equal(store.find(file("index.html"), "b").taskId, "t2");
  assert.equal(store.find(file("index.html"), "c"), null);
  // Dropped without its folder: the newest that nobody has taken.
  assert.equal(store.find(file("index.html"), "").taskId, "t2");
  assert.equal(store.find(file("index.html"), "", (id) => id === "t2").taskId, "t1");
});

test("only so many are kept, unfinished ones longest", () => {
  const store = new ResumeStore(null);
  store.save(entry("open", file("open"), { savedAt: 0 }));
  for (let i = 1; i <= 520; i += 1) store.save(entry(`t${i}`, file(`f${i}`), { savedAt: i, finished: true }));
  assert.equal(store.all().length, 500);
  assert.ok(store.get("open"));
  assert.equal(store.get("t1"), null);
  assert.ok(store.get("t520"));
});

test("foreign and damaged keys are left alone", () => {
  const values = new Map([
    ["other", "{}"],
    ["windlass:upload:x", "not json"],
    ["windlass:upload:y", "{}"],
  ]);
  const store = new ResumeStore({
    get length() {
      return values.size;
    },
    key: (i) => [...values.keys()][i],
    getItem: (key) => values.get(key) ?? null,
    setItem() {
      throw new Error("quota");
    },
    removeItem: (key) => values.delete(key),
  });
  assert.deepEqual(store.all(), []);
  store.save(entry("t1", file("a")));
  assert.equal(values.get("other"), "{}");
});
