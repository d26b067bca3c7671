// The stock tus-js-client in Node, and Chromium, over https with HTTP/2 where they speak it.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { Agent } from 'node:https';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';
import * as tus from 'tus-js-client';
import { MIB, randomFile, temporaryFolder } from './support/files.mjs';
import { startServer } from './support/server.mjs';
import { startUpload } from './support/tus.mjs';
import { DEADLINE, within } from './support/wait.mjs';

/** A server on https whose certificate was made for this test, and that certificate. */
async function startSecureServer(t) {
  const folder = await temporaryFolder(t);
  const [key, certificate] = [join(folder.path, 'tls.key'), join(folder.path, 'tls.crt')];
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  await promisify(execFile)('openssl', [...request, ...names, '-keyout', key, '-out', certificate]);
  const server = await startServer(t, {
    config: `listener: { tls: { certificateFile: ${certificate}, keyFile: ${key} } }\n`,
  });
  assert.match(server.origin, /^https:/);
  return { server, ca: await readFile(certificate, 'utf8') };
}

test('tus-js-client in Node uploads over https', async (t) => {
  const { server, ca } = await startSecureServer(t);
  const file = await randomFile(t, 20 * MIB);
  const agent = new Agent({ ca });
  t.after(() => agent.destroy());
  const upload = startUpload(server, file, { chunkSize: 7 * MIB, httpStack: new tus.DefaultHttpStack({ agent }) });
  await within('the upload', upload.done);
  assert.deepEqual(upload.progress.at(-1), [file.size, file.size]);
});

test('the page works in Chromium over HTTP/2, its WebSocket over HTTP/1.1 beside it', async (t) => {
  const { server } = await startSecureServer(t);
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
  });
  t.after(() => browser.close());
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE);
  await page.goto(server.origin);
  const seen = await page.evaluate(async () => {
    const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/ws`);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = () => reject(new Error('no WebSocket'));
    });
    const text = 'sent by a page over HTTP/2';
    const headers = { 'Tus-Resumable': '1.0.0', 'Upload-Length': String(text.length) };
    headers['Content-Type'] = 'application/offset+octet-stream';
    const created = await fetch('/files/', { method: 'POST', headers, body: text });
    const back = await fetch(created.headers.get('Location'));
    const protocols = performance.getEntriesByType('resource').map((entry) => entry.nextHopProtocol);
    return { status: created.status, back: await back.text(), protocols: [...new Set(protocols)] };
  });
  assert.deepEqual([seen.status, seen.back], [201, 'sent by a page over HTTP/2']);
  assert.ok(seen.protocols.includes('h2'), JSON.stringify(seen.protocols));
});
