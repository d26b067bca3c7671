// The small pure parts of the modules that speak to the server.

import assert from "node:assert/strict";
import { test } from "node:test";
import { describeTask, inOrder, summarize } from "../describe.js";
import { folderOf } from "../drop.js";
import { statusFailure } from "../http.js";
import { reconnectDelay } from "../live.js";
import { TaskList } from "../task-list.js";
import { ownLocation, taskIdOf } from "../tus.js";

test("a Location becomes a path of this origin, or stays foreign, or is refused", () => {
  const base = "http://127.0.0.1:8080/";
  assert.equal(ownLocation("/files/default/id/key", base), "/files/default/id/key");
  assert.equal(ownLocation("http://127.0.0.1:8080/files/default/id/key", base), "/files/default/id/key");
  assert.equal(ownLocation("default/id/key", base), "/files/default/id/key");
  assert.equal(ownLocation("https://up.example/files/a/b/c", base), "https://up.example/files/a/b/c");
  assert.equal(ownLocation("javascript:alert(1)", base), null);
  assert.equal(ownLocation(null, base), null);
});

test("the task id is read from a Location with and without a key", () => {
  assert.equal(taskIdOf("/files/default/local-0192/abc"), "local-0192");
  assert.equal(taskIdOf("https://up.example/prefix/files/t/local-0192"), "local-0192");
  assert.equal(taskIdOf("/files/default"), null);
});

test("a problem's words become a sentence, and other bodies are not shown", () => {
  assert.equal(statusFailure(403, { detail: "not for you" }).detail, "Not for you.");
  assert.equal(statusFailure(403, { title: "Forbidden" }).detail, "Forbidden.");
  assert.equal(statusFailure(403, { detail: 7 }).detail, undefined);
  assert.equal(statusFailure(403, undefined).detail, undefined);
  assert.equal(statusFailure(403, { detail: "x".repeat(5000) }).detail.length, 301);
});

test("a socket comes back within half a second at first and within eleven seconds at last", () => {
  assert.equal(reconnectDelay(0, 0), 500);
  assert.equal(reconnectDelay(0, 1), 1000);
  assert.equal(reconnectDelay(50, 1), 10_500);
});

test("the folder of a file in a dropped folder", () => {
  assert.equal(folderOf("/holiday/day 1/a.jpg"), "holiday/day 1");
  assert.equal(folderOf("a.jpg"), "");
  assert.equal(folderOf(undefined), "");
});

const task = (taskId, more = {}) => ({ taskId, status: "uploading", progress: 10, offset: 10, length: 100, createdAt: 5, name: "a", ...more });

function listOf(...pages) {
  let page = 0;
  const list = async () => ({ ok: true, next: null, ...pages[Math.min(page++, pages.length - 1)] });
  return new TaskList({ tasks: { list }, now: () => 1000, changed() {} });
}

test("a list that is older than the last live word does not take it back", async () => {
  const list = listOf({ tasks: [task("t")] }, { tasks: [task("t")] });
  await list.refresh();
  list.progress("t", 40);
  await list.refresh();
  assert.equal(list.get("t").progress, 40);
  list.progress("t", 100);
  await list.refresh();
  assert.equal(list.get("t").status, "completed");
});

test("what has been deleted leaves the list, what is on older pages stays", async () => {
  const list = listOf(
    { tasks: [task("new", { createdAt: 9 }), task("mid", { createdAt: 8 })], next: "mid" },
    { tasks: [task("old", { createdAt: 1 })] },
    { tasks: [task("mid", { createdAt: 8 })], next: "mid" },
  );
  await list.refresh();
  await list.more();
  await list.refresh();
  assert.deepEqual(list.all().map((each) => each.taskId), ["mid", "old"]);
});

test("a task without news for long is not said to be uploading", () => {
  assert.equal(describeTask(task("t"), { movedAt: 0, now: 1000 }).words, "Uploading elsewhere");
  assert.equal(describeTask(task("t"), { movedAt: 0, now: 60_000 }).words, "Unfinished; nothing is arriving");
  assert.equal(describeTask(task("t", { status: "completed" }), { now: 0 }).actions.length, 0);
  assert.equal(describeTask(task("t", { status: "completed" }), { location: "/x", now: 0 }).actions[0].href, "/x");
  assert.equal(describeTask(task("t", { length: null }), { movedAt: 0, now: 0 }).facts[0], "10 B so far");
});

test("the summary counts each file once", () => {
  const upload = (state, acknowledged = 0) => ({ state, size: 100, acknowledged, active: state === "sending", speed: () => null });
  const summary = summarize([upload("sending", 50), upload("queued"), upload("completed"), upload("gone")]);
  assert.equal(summary.text, "1 uploading · 1 waiting · 1 needs you · 1 complete");
  assert.equal(summary.percent, 37);
});

test("what is complete sinks below what waits, and what has begun stands on top", () => {
  const upload = (name, state, more = {}) => ({ name, state, taskId: null, completedAt: 0, batch: 1, ...more });
  const order = inOrder([
    upload("done early", "completed", { completedAt: 5 }),
    upload("sends", "sending", { taskId: "t" }),
    upload("waits", "queued"),
    upload("resumed", "queued", { taskId: "u" }),
    upload("done late", "completed", { completedAt: 9 }),
    upload("newer", "sending", { taskId: "v", batch: 2 }),
  ]);
  assert.deepEqual(order.map((each) => each.name), ["newer", "sends", "resumed", "waits", "done late", "done early"]);
});
