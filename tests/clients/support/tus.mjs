// tus-js-client as its users write it, with a record of what it sent.

import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import * as tus from 'tus-js-client';
import { deferred } from './wait.mjs';

/** Milliseconds between tries while a server is killed and started again: many, so that slow machines do not run out. */
export const RETRY_DELAYS = [0, 100, 200, 300, 500, 500, 500, 1000, 1000, 1000, 2000, 2000, 2000, 3000, 3000];

/**
 * Starts an upload of a file. Returns the SDK's object as `upload`; `done` resolves with the upload's URL or rejects
 * as `onError` does; `url` resolves when the creation was answered; `requests` lists `{method, offset}` in order.
 */
export function startUpload(server, source, options = {}) {
  const done = deferred();
  const url = deferred();
  const requests = [];
  const progress = [];
  const upload = new tus.Upload(source.path ? createReadStream(source.path) : source.data, {
    endpoint: `${server.origin}/files/`,
    metadata: { filename: source.name ?? 'film.bin', filetype: 'application/octet-stream' },
    retryDelays: null,
    onUploadUrlAvailable: () => url.resolve(upload.url),
    onProgress: (sent, total) => progress.push([sent, total]),
    onBeforeRequest: (request) => {
      const offset = request.getHeader('Upload-Offset');
      requests.push({ method: request.getMethod(), offset: offset === undefined ? undefined : Number(offset) });
    },
    onSuccess: () => done.resolve(upload.url),
    onError: (error) => done.reject(error),
    ...options,
  });
  // A test that aborts or kills does not always wait for the end.
  done.promise.catch(() => {});
  if (options.start !== false) upload.start();
  return { upload, done: done.promise, url: url.promise, requests, progress };
}

/** An HTTP stack for the SDK whose connections go through `gate`. */
export function stackThrough(gate) {
  return new tus.DefaultHttpStack({ agent: gate });
}

/** Options that note each offset that the SDK is shown. */
export function watched() {
  const shown = [];
  return { shown, onAfterResponse: (_, answer) => note(shown, answer.getHeader('Upload-Offset')) };
}

function note(shown, text) {
  if (text !== undefined) shown.push(Number(text));
}

/** Created once, or again only before anybody knew its URL; offsets only grow. */
export function assertOnce(client) {
  assert.equal(brokenBy(client), undefined);
}

/** What speaks against that, in a sentence. */
export function brokenBy({ upload, requests }) {
  const known = requests.findIndex(({ method }) => method !== 'POST');
  const later = known < 0 ? [] : requests.slice(known);
  if (later.some(({ method }) => method === 'POST')) return `${upload.url}: a creation after a Location`;
  const { shown } = upload.options;
  const fell = shown.findIndex((offset, index) => offset < shown[index - 1]);
  return fell < 0 ? undefined : `${upload.url}: the offset fell from ${shown[fell - 1]} to ${shown[fell]}`;
}
