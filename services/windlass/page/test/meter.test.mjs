import assert from "node:assert/strict";
import { test } from "node:test";
import { Meter } from "../meter.js";

test("the speed is unknown at first, then the mean of the last seconds", () => {
  const meter = new Meter();
  assert.equal(meter.speed(0), null);
  meter.add(0, 0);
  meter.add(500, 500);
  assert.equal(meter.speed(500), null);
  meter.add(1000, 1000);
  assert.equal(meter.speed(1000), 1000);
});

test("a stalled transfer slows down to nothing", () => {
  const meter = new Meter();
  meter.add(0, 0);
  meter.add(4000, 1000);
  assert.equal(meter.speed(1000), 4000);
  assert.equal(meter.speed(4000), 1000);
});

test("what lies behind the window is forgotten", () => {
  const meter = new Meter();
  for (let second = 0; second <= 10; second += 1) meter.add(second * 1000, second * 1000);
  for (let second = 11; second <= 20; second += 1) meter.add(10_000 + (second - 10) * 3000, second * 1000);
  assert.equal(meter.speed(20_000), 3000);
  meter.reset();
  assert.equal(meter.speed(20_000), null);
});
