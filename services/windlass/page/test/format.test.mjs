import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, count, displayName, extension, percent, rate, relativeTime, span, splitName, timeLeft } from "../format.js";

test("bytes have three significant digits and never read 1000 of a unit", () => {
  const cases = [
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.00 kB"],
    [1536, "1.54 kB"],
    [9_994, "9.99 kB"],
    [9_996, "10.0 kB"],
    [99_960, "100 kB"],
    [999_499, "999 kB"],
    [999_500, "1.00 MB"],
    [2_000_000_000, "2.00 GB"],
    [5e18, "5000 PB"],
    [-3, "0 B"],
  ];
  for (const [value, words] of cases) assert.equal(bytes(value), words);
  assert.equal(rate(4_120_000), "4.12 MB/s");
});

test("the time left is coarse and absent when nothing is known", () => {
  const cases = [
    [0, "a few seconds left"],
    [11, "15 s left"],
    [56, "1 min left"],
    [61, "2 min left"],
    [3600, "1 h left"],
    [4800, "1 h 20 min left"],
    [86_400, "1 day left"],
    [200_000, "2 days left"],
    [Infinity, ""],
    [NaN, ""],
  ];
  for (const [seconds, words] of cases) assert.equal(timeLeft(seconds), words);
});

test("percent is rounded down and stays below 100 until the upload is complete", () => {
  assert.equal(percent(0, 100, false), 0);
  assert.equal(percent(995, 1000, false), 99);
  assert.equal(percent(1000, 1000, false), 99);
  assert.equal(percent(1000, 1000, true), 100);
  assert.equal(percent(0, 0, false), 0);
  assert.equal(percent(0, 0, true), 100);
});

test("times are told in the unit that matters", () => {
  assert.equal(relativeTime(0, 30_000), "just now");
  assert.equal(relativeTime(0, 300_000), "5 min ago");
  assert.equal(relativeTime(0, 3 * 86_400_000), "3 days ago");
  assert.equal(span(24 * 3_600_000), "24 h");
  assert.equal(span(-5), "1 min");
});

test("a count agrees with its noun", () => {
  assert.equal(count(1, "file"), "1 file");
  assert.equal(count(2, "file"), "2 files");
  assert.equal(count(2, "needs you", "need you"), "2 need you");
});

test("marks that reorder or hide text are made visible in a name", () => {
  assert.equal(displayName("photo\u202egpj.exe"), "photo\ufffdgpj.exe");
  assert.equal(displayName("a\u0000b\nc"), "a\ufffdb\ufffdc");
  assert.equal(displayName("  "), "Unnamed file");
  assert.equal(displayName(null), "Unnamed file");
  assert.equal(displayName("résumé ✓ 履歴書.pdf"), "résumé ✓ 履歴書.pdf");
});

test("a long name is cut before its ending and never inside a character", () => {
  assert.deepEqual(splitName("short.txt"), ["short.txt", ""]);
  const [stem, tail] = splitName("a rather long name for a file.tar.gz");
  assert.equal(stem + tail, "a rather long name for a file.tar.gz");
  assert.ok(tail.endsWith(".gz"));
  const emoji = "🚢".repeat(20);
  assert.equal(splitName(emoji).join(""), emoji);
  assert.equal(splitName(emoji)[1], "🚢".repeat(6));
});

test("the tile shows short endings only", () => {
  assert.equal(extension("a.mp4"), "MP4");
  assert.equal(extension("a.parquet"), "");
  assert.equal(extension(".bashrc"), "");
  assert.equal(extension("README"), "");
});
