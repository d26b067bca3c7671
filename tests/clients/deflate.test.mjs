// Compressed messages (permessage-deflate, RFC 7692), with the stock centrifuge client in Node and in Chromium.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { Centrifuge } from 'centrifuge';
import { Centrifuge as ProtobufCentrifuge } from 'centrifuge/build/protobuf';
import WebSocket from 'ws';
import { openPage, startBrowser } from './support/browser.mjs';
import { startServer } from './support/server.mjs';
import { until, within } from './support/wait.mjs';

const CHANNEL = 'board';
const rows = (n) => ({ n, rows: Array.from({ length: 100 }, (_, id) => ({ id, name: `somebody ${id}`, value: n })) });

test('publications come compressed to who offers it, once it is on', async (t) => {
  const sizes = {};
  for (const [name, Client, compression, offered] of [
    ['off', Centrifuge, false, true],
    ['not offered', Centrifuge, true, false],
    ['JSON', Centrifuge, true, true],
    ['protobuf', ProtobufCentrifuge, true, true],
  ]) {
    const server = await startServer(t, { config: JSON.stringify({ push: { connection: { compression } } }) });
    const sockets = [];
    const client = new Client(`${server.webSocketOrigin}/connection/websocket`, {
      websocket: class extends WebSocket {
        constructor(url, protocols) {
          super(url, protocols, { perMessageDeflate: offered });
          sockets.push(this);
        }
      },
    });
    t.after(() => client.disconnect());
    client.connect();
    const heard = [];
    const subscription = client.newSubscription(CHANNEL);
    const parsed = (data) => (Client === Centrifuge ? data : JSON.parse(new TextDecoder().decode(data)));
    subscription.on('publication', ({ data }) => heard.push(parsed(data)));
    subscription.subscribe();
    await within('the subscription', subscription.ready());
    const before = sockets[0]._socket.bytesRead;
    for (let n = 0; n < 10; n += 1) {
      const data = rows(n);
      await subscription.publish(Client === Centrifuge ? data : new TextEncoder().encode(JSON.stringify(data)));
    }
    await until('all of them', () => heard.length === 10);
    assert.deepEqual(heard, Array.from({ length: 10 }, (_, n) => rows(n)));
    const expected = compression && offered ? 'permessage-deflate' : '';
    assert.equal(sockets[0].extensions, expected, name);
    sizes[name] = sockets[0]._socket.bytesRead - before;
  }
  t.diagnostic(`bytes for ten publications of ${JSON.stringify(rows(1)).length}: ${JSON.stringify(sizes)}`);
  assert.equal(sizes.off, sizes['not offered']);
  assert.ok(sizes.JSON < sizes.off / 3 && sizes.protobuf < sizes.off / 3, JSON.stringify(sizes));
});

test('Chromium takes and sends compressed messages', async (t) => {
  const server = await startServer(t, { config: JSON.stringify({ push: { connection: { compression: true } } }) });
  const { page } = await openPage(await startBrowser(t), `${server.origin}/healthz`);
  const dist = createRequire(import.meta.url).resolve('centrifuge').replace(/build.*$/, 'dist/centrifuge.js');
  await page.addScriptTag({ path: dist });
  const heard = await page.evaluate(async ({ url, channel }) => {
    const client = new window.Centrifuge(url);
    const subscription = client.newSubscription(channel);
    const all = [];
    const done = new Promise((resolve) => subscription.on('publication', ({ data }) => all.push(data.text) === 5 && resolve()));
    subscription.subscribe();
    client.connect();
    await subscription.ready();
    for (let n = 0; n < 5; n += 1) await subscription.publish({ text: `${n}`.repeat(5_000) });
    await done;
    const extensions = client._transport._transport.extensions;
    client.disconnect();
    return { all, extensions };
  }, { url: `${server.webSocketOrigin}/connection/websocket`, channel: CHANNEL });
  assert.deepEqual(heard.all, Array.from({ length: 5 }, (_, n) => `${n}`.repeat(5_000)));
  assert.match(heard.extensions, /permessage-deflate/);
});
