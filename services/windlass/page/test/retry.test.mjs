import assert from "node:assert/strict";
import { test } from "node:test";
import { OUTAGE_CAP_MS, decide, outageDelay, parseRetryAfter, words } from "../retry.js";

const answered = (status, more = {}) => ({ during: "patch", kind: "status", status, ...more });

test("retried statuses wait 1, 2 and 4 seconds and then leave it to the user", () => {
  for (const status of [408, 409, 423, 429, 460, 500, 502, 503, 599]) {
    const waits = [0, 1, 2].map((n) => decide(answered(status), n));
    assert.deepEqual(waits.map((w) => w.afterMs), [1000, 2000, 4000], `status ${status}`);
    assert.equal(decide(answered(status), 3).do, "interrupt");
  }
});

test("any other 4xx stops with the server's own words", () => {
  for (const status of [400, 401, 403, 412, 413, 415, 418]) {
    const failure = answered(status, { detail: "No more room for this tenant." });
    assert.equal(decide(failure, 0).do, "stop");
    assert.equal(words(failure), "No more room for this tenant.");
  }
  assert.match(words(answered(418)), /418/);
});

test("a task paused elsewhere waits for the user, another conflict reads the offset again", () => {
  assert.equal(decide(answered(409, { code: "paused" }), 0).do, "paused");
  assert.equal(decide(answered(409, { code: "offset_mismatch" }), 0).do, "retry");
});

test("an upload that the server no longer has is gone, and never begun again by itself", () => {
  for (const status of [404, 410]) {
    assert.equal(decide({ ...answered(status), during: "head" }, 0).do, "gone");
    assert.equal(decide(answered(status), 0).do, "gone");
    assert.equal(decide({ ...answered(status), during: "create" }, 0).do, "stop");
  }
});

test("a server that does not answer is asked again without end, a broken append is counted", () => {
  for (const during of ["create", "head"]) assert.equal(decide({ during, kind: "network" }, 99).do, "outage");
  assert.equal(decide({ during: "patch", kind: "network" }, 0).do, "retry");
  assert.equal(decide({ during: "patch", kind: "network" }, 3).do, "interrupt");
});

test("Retry-After lengthens a wait, never shortens it, and a very long one is the user's business", () => {
  assert.equal(decide(answered(429, { retryAfterMs: 7000 }), 0).afterMs, 7000);
  assert.equal(decide(answered(429, { retryAfterMs: 500 }), 1).afterMs, 2000);
  assert.equal(decide(answered(429, { retryAfterMs: 3_600_000 }), 0).do, "interrupt");
});

test("Retry-After is read as seconds or as a date", () => {
  const now = Date.parse("2024-11-02T10:00:00Z");
  assert.equal(parseRetryAfter("3", now), 3000);
  assert.equal(parseRetryAfter("Sat, 02 Nov 2024 10:00:05 GMT", now), 5000);
  assert.equal(parseRetryAfter("Sat, 02 Nov 2024 09:00:05 GMT", now), 0);
  assert.equal(parseRetryAfter("soon", now), undefined);
  assert.equal(parseRetryAfter(null, now), undefined);
});

test("the waits of an outage grow, are spread, and are capped", () => {
  assert.equal(outageDelay(0, 1), 1000);
  assert.equal(outageDelay(0, 0), 700);
  assert.equal(outageDelay(2, 1), 4000);
  for (const n of [4, 10, 1000]) assert.equal(outageDelay(n, 1), OUTAGE_CAP_MS);
});
