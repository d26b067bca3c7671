// Plain HTTP to the server, a new connection each time, so that no pooled socket of a killed server is ever used.

import { createHash } from 'node:crypto';
import http from 'node:http';
import { pipeline } from 'node:stream/promises';

/** Sends a request; the answer has `status`, `headers`, `text` and, lazily, `json`. */
export function request(method, url, { headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const sent = http.request(url, { method, headers, agent: false }, (answer) => {
      const chunks = [];
      answer.on('error', reject).on('data', (chunk) => chunks.push(chunk));
      answer.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        resolve({ status: answer.statusCode, headers: answer.headers, text, json: () => JSON.parse(text) });
      });
    });
    sent.on('error', reject).end(body);
  });
}

/** The SHA-256 of what GET returns. */
export function downloadedSha256(url, { headers = {} } = {}) {
  return new Promise((resolve, reject) => {
    http
      .get(url, { agent: false, headers }, (answer) => {
        if (answer.statusCode !== 200) {
          answer.resume();
          reject(new Error(`GET ${url}: ${answer.statusCode}`));
          return;
        }
        const hash = createHash('sha256');
        pipeline(answer, hash).then(() => resolve(hash.digest('hex')), reject);
      })
      .on('error', reject);
  });
}

/** The id of the task that an upload URL `…/files/<tenant>/<id>/<key>` belongs to. */
export function taskOf(uploadUrl) {
  const [, folder, , id] = new URL(uploadUrl).pathname.split('/');
  if (folder !== 'files' || !id) throw new Error(`not an upload URL: ${uploadUrl}`);
  return id;
}

/** The task's state as `/tasks/<id>` tells it. */
export async function readTask(server, id) {
  const answer = await request('GET', `${server.origin}/tasks/${id}`);
  if (answer.status !== 200) throw new Error(`GET /tasks/${id}: ${answer.status} ${answer.text}`);
  return answer.json();
}

/** The offset that a tus HEAD tells. */
export async function readOffset(uploadUrl) {
  const answer = await request('HEAD', uploadUrl, { headers: { 'Tus-Resumable': '1.0.0' } });
  if (answer.status !== 200) throw new Error(`HEAD ${uploadUrl}: ${answer.status}`);
  return Number(answer.headers['upload-offset']);
}
