// The tus 1.0.0 requests (https://tus.io/protocols/resumable-upload): creation, offset, append, termination.
// Each returns a value: `{ ok: true, … }` or a failure with `during`, as retry.js reads it.

import { isJson, request, statusFailure } from "./http.js";
import { encodeMetadata } from "./metadata.js";

const VERSION = { "Tus-Resumable": "1.0.0" };
const ENDPOINT = "/files/";

// No byte for so long while sending: the connection is dead. The server may hold a request for 10 s, so a little more.
const SENDING_TIMEOUT_MS = 15_000;
// All bytes are sent and no answer comes (`windlass put` waits as long).
const ANSWER_TIMEOUT_MS = 30_000;

/** Creates an upload: `{ ok, location, taskId }`. `path` is the place inside a dropped folder, if there was one. */
export async function create(file, path, signal) {
  const answer = await request("POST", ENDPOINT, {
    headers: {
      ...VERSION,
      "Upload-Length": String(file.size),
      "Upload-Metadata": encodeMetadata({ filename: file.name, filetype: file.type, relativePath: path }),
    },
    signal,
  });
  if (!answer.ok) return { ...answer, during: "create" };
  const location = ownLocation(answer.headers.get("location"), globalThis.location.href);
  const taskId = location && taskIdOf(location);
  if (!taskId) return nonsense("create", "The server created the upload but did not say where.");
  return { ok: true, location, taskId };
}

/** The acknowledged offset: `{ ok, offset, length }`; `length` is null while it is deferred. */
export async function head(location, signal) {
  const answer = await request("HEAD", location, { headers: VERSION, signal });
  if (!answer.ok) return { ...answer, during: "head" };
  const offset = wholeNumber(answer.headers.get("upload-offset"));
  if (offset === null) return nonsense("head", "The server did not say how much of the file it has.");
  return { ok: true, offset, length: wholeNumber(answer.headers.get("upload-length")) };
}

/**
 * Appends all of `file` from `offset` on in one request. Returns `{ done, touch }`: `done` resolves to `{ ok, offset }`
 * or a failure; `touch()` says that the server has shown life in another way. An XMLHttpRequest, because fetch
 * does not tell how much it has sent.
 */
export function append(location, file, offset, { signal, onsent }) {
  const xhr = new XMLHttpRequest();
  let guard = 0;
  let sentAll = false;
  let finish;
  const done = new Promise((resolve) => {
    finish = (result) => {
      clearTimeout(guard);
      signal.removeEventListener("abort", abort);
      resolve(result);
    };
  });
  const lost = () => finish({ ok: false, during: "patch", kind: "network" });
  const abort = () => xhr.abort();
  const touch = () => {
    clearTimeout(guard);
    guard = setTimeout(abort, sentAll ? ANSWER_TIMEOUT_MS : SENDING_TIMEOUT_MS);
  };

  xhr.upload.onprogress = (event) => {
    touch();
    onsent(offset + event.loaded);
  };
  xhr.upload.onload = () => {
    sentAll = true;
    touch();
    onsent(file.size);
  };
  xhr.onerror = lost;
  xhr.onabort = lost;
  xhr.onload = () => finish(appended(xhr));

  xhr.open("PATCH", location);
  for (const [name, value] of Object.entries(VERSION)) xhr.setRequestHeader(name, value);
  xhr.setRequestHeader("Upload-Offset", String(offset));
  xhr.setRequestHeader("Content-Type", "application/offset+octet-stream");
  signal.addEventListener("abort", abort);
  touch();
  xhr.send(file.slice(offset));
  return { done, touch };
}

function appended(xhr) {
  if (xhr.status >= 200 && xhr.status < 300) {
    const offset = wholeNumber(xhr.getResponseHeader("upload-offset"));
    if (offset === null) return nonsense("patch", "The server did not say how much of the file it has.");
    return { ok: true, offset };
  }
  let body;
  try {
    if (isJson(xhr.getResponseHeader("content-type"))) body = JSON.parse(xhr.responseText);
  } catch {
    // Not JSON after all: the status has to do.
  }
  return { ...statusFailure(xhr.status, body, xhr.getResponseHeader("retry-after")), during: "patch" };
}

/** Deletes the upload. One that is not there any more counts as deleted. */
export async function terminate(location) {
  const answer = await request("DELETE", location, { headers: VERSION });
  if (answer.ok || answer.status === 404 || answer.status === 410) return { ok: true };
  return { ...answer, during: "delete" };
}

/** A Location as a path of this origin if it is of this origin, otherwise as it is; null unless it is http(s). */
export function ownLocation(header, base) {
  if (!header) return null;
  try {
    const url = new URL(header, new URL(ENDPOINT, base));
    if (url.protocol !== "http:" && url.protocol !== "https:") return null;
    return url.origin === new URL(base).origin ? url.pathname + url.search : url.href;
  } catch {
    return null;
  }
}

/** The task id in `/files/<tenant>/<id>[/<key>]`, with whatever a proxy puts before it. */
export function taskIdOf(location) {
  const match = /\/files\/[^/?#]+\/([^/?#]+)/.exec(location);
  return match ? match[1] : null;
}

function wholeNumber(header) {
  return header !== null && /^\d{1,16}$/.test(header) ? Number(header) : null;
}

function nonsense(during, detail) {
  return { ok: false, during, kind: "nonsense", detail };
}
