import assert from "node:assert/strict";
import { test } from "node:test";
import { Live } from "../live.js";

class Socket {
  static OPEN = 1;
  static made = [];
  readyState = 0;
  sent = [];

  constructor(url) {
    this.url = url;
    Socket.made.push(this);
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  open() {
    this.readyState = 1;
    this.onopen();
  }

  say(message) {
    this.onmessage({ data: JSON.stringify(message) });
  }

  close() {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose();
  }
}

function start(t) {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  Socket.made = [];
  const before = globalThis.WebSocket;
  globalThis.WebSocket = Socket;
  t.after(() => (globalThis.WebSocket = before));
  const seen = { progress: [], states: [], refused: [] };
  const live = new Live("ws://x/ws", {
    onprogress: (...args) => seen.progress.push(args),
    onstate: (state) => seen.states.push(state),
    onrefused: (...args) => seen.refused.push(args),
  });
  live.connect();
  return { live, seen, tick: (ms) => t.mock.timers.tick(ms) };
}

const joins = (socket) => socket.sent.filter(({ type }) => type === "join").map(({ fileId }) => fileId);

test("joins are sent once, sent again on a new connection, and left when nobody follows", (t) => {
  const { live, seen, tick } = start(t);
  live.follow(["a"]);
  const [first] = Socket.made;
  first.open();
  live.follow(["a", "b"]);
  assert.deepEqual(joins(first), ["a", "b"]);
  live.follow(["b"]);
  assert.deepEqual(first.sent.at(-1), { type: "leave", fileId: "a" });

  first.close();
  tick(1000);
  const second = Socket.made[1];
  second.open();
  assert.deepEqual(joins(second), ["b"]);
  second.say({ fileId: "b", progress: 7 });
  assert.deepEqual(seen.progress, [["b", 7]]);
  assert.deepEqual(seen.states, ["connecting", "live", "connecting", "connecting", "live"]);
});

test("told to reconnect, it has all joins answered before it lets the old socket go", (t) => {
  const { live, seen, tick } = start(t);
  live.follow(["a", "b"]);
  const [old] = Socket.made;
  old.open();
  old.say({ type: "reconnect", withinSeconds: 5 });
  tick(4000);
  const fresh = Socket.made[1];
  assert.equal(old.readyState, 1);
  fresh.open();
  fresh.say({ fileId: "a", progress: 1 });
  old.say({ fileId: "b", progress: 2 });
  assert.equal(old.readyState, 1);
  fresh.say({ fileId: "b", progress: 3 });
  assert.equal(old.readyState, 3);
  assert.deepEqual(seen.progress, [["a", 1], ["b", 2], ["b", 3]]);
  assert.deepEqual(seen.states, ["connecting", "live"]);
  live.follow(["a", "b", "c"]);
  assert.deepEqual(joins(fresh), ["a", "b", "c"]);
  assert.equal(Socket.made.length, 2);
});

test("an old socket that closes early hands over to the one under way", (t) => {
  const { live, seen, tick } = start(t);
  live.follow(["a"]);
  const [old] = Socket.made;
  old.open();
  old.say({ type: "reconnect", withinSeconds: 0 });
  tick(1);
  const fresh = Socket.made[1];
  old.close();
  assert.equal(seen.states.at(-1), "live");
  fresh.open();
  assert.deepEqual(joins(fresh), ["a"]);
  tick(60_000);
  assert.equal(Socket.made.length, 2);
});

test("a new socket that fails leaves the old one in charge", (t) => {
  const { tick } = start(t);
  const [old] = Socket.made;
  old.open();
  old.say({ type: "reconnect", withinSeconds: 1 });
  tick(1000);
  Socket.made[1].close();
  tick(60_000);
  assert.equal(old.readyState, 1);
});

test("a task that may not be followed is reported, and what is no JSON is ignored", (t) => {
  const { live, seen } = start(t);
  live.follow(["a"]);
  const [socket] = Socket.made;
  socket.open();
  socket.onmessage({ data: "{" });
  socket.onmessage({ data: "null" });
  socket.say({ type: "error", code: "task_not_found", message: "no such task", fileId: "a" });
  socket.say({ type: "error", code: "bad_request", message: "what?" });
  assert.deepEqual(seen.refused, [["a", "task_not_found"]]);
});
