import assert from "node:assert/strict";
import { test } from "node:test";
import { base64, encodeMetadata } from "../metadata.js";

test("values are the padded base64 of their UTF-8 bytes", () => {
  for (const text of ["a", "ab", "abc", "übergröße.pdf", "履歴書 🚢", "\ud800"]) {
    assert.equal(base64(text), Buffer.from(new TextEncoder().encode(text)).toString("base64"));
  }
});

test("pairs are joined by commas and what is empty is left out", () => {
  const header = encodeMetadata({ filename: "a b.txt", filetype: "", relativePath: undefined });
  assert.equal(header, `filename ${Buffer.from("a b.txt").toString("base64")}`);
  assert.equal(encodeMetadata({ a: "1", b: "2" }), "a MQ==,b Mg==");
});

test("a key that the header cannot carry is refused", () => {
  for (const key of ["a b", "a,b", "", "é"]) assert.throws(() => encodeMetadata({ [key]: "x" }), TypeError);
});
