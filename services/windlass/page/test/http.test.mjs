import assert from "node:assert/strict";
import { test } from "node:test";
import { isJson, request } from "../http.js";
import { head } from "../tus.js";

const PROBLEM = { "content-type": "application/problem+json" };

function answering(t, answer) {
  const before = globalThis.fetch;
  globalThis.fetch = async (...args) => answer(...args);
  t.after(() => (globalThis.fetch = before));
}

test("a HEAD that says the upload is gone is not taken for a lost connection", async (t) => {
  answering(t, () => new Response(null, { status: 410, headers: PROBLEM }));
  const answer = await head("/files/default/id/key");
  assert.deepEqual([answer.kind, answer.status, answer.during], ["status", 410, "head"]);
});

test("the offset of a HEAD is read, and an answer without one is nonsense", async (t) => {
  let headers = { "upload-offset": "7", "upload-length": "9", ...PROBLEM };
  answering(t, () => new Response(null, { status: 200, headers }));
  assert.deepEqual(await head("/x"), { ok: true, offset: 7, length: 9 });
  headers = { "upload-offset": "-1" };
  assert.equal((await head("/x")).kind, "nonsense");
});

test("a refusal keeps its status when its words cannot be read", async (t) => {
  answering(t, () => new Response("{", { status: 403, headers: PROBLEM }));
  const answer = await request("POST", "/x");
  assert.deepEqual([answer.kind, answer.status, answer.detail], ["status", 403, undefined]);
});

test("a success that is cut off, and a server that does not answer, are both lost connections", async (t) => {
  answering(t, () => new Response("{", { status: 200, headers: { "content-type": "application/json" } }));
  assert.deepEqual(await request("GET", "/x"), { ok: false, kind: "network" });
  answering(t, () => Promise.reject(new TypeError("Failed to fetch")));
  assert.deepEqual(await request("GET", "/x"), { ok: false, kind: "network" });
});

test("who aborts gets the abort and not a failure", async (t) => {
  answering(t, (_, { signal }) => Promise.reject(signal.reason ?? new TypeError("Failed to fetch")));
  const controller = new AbortController();
  controller.abort();
  await assert.rejects(request("GET", "/x", { signal: controller.signal }), { name: "AbortError" });
});

test("media types of JSON", () => {
  for (const type of ["application/json", "application/json; charset=utf-8", "application/problem+json"]) assert.ok(isJson(type));
  for (const type of ["text/html", "application/jsonish", null, ""]) assert.ok(!isJson(type), String(type));
});
