// The stock centrifuge client over each transport and encoding, in Node and in Chromium: what it does on one it does on
// all of them.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { Centrifuge } from 'centrifuge';
import { Centrifuge as ProtobufCentrifuge } from 'centrifuge/build/protobuf';
import WebSocket from 'ws';
import { openPage, startBrowser } from './support/browser.mjs';
import { startServer } from './support/server.mjs';
import { until, within } from './support/wait.mjs';

const CHANNEL = 'chat:transports';
const COUNT = 30;

const json = (value) => value;
const bytes = (value) => new TextEncoder().encode(JSON.stringify(value));
const parsed = (value) => JSON.parse(new TextDecoder().decode(value));

const IN_NODE = [
  { name: 'WebSocket, JSON', Client: Centrifuge, transport: 'websocket', encode: json, decode: json },
  { name: 'WebSocket, protobuf', Client: ProtobufCentrifuge, transport: 'websocket', encode: bytes, decode: parsed },
  { name: 'HTTP-streaming, JSON', Client: Centrifuge, transport: 'http_stream', encode: json, decode: json },
  { name: 'HTTP-streaming, protobuf', Client: ProtobufCentrifuge, transport: 'http_stream', encode: bytes, decode: parsed },
];

for (const { name, Client, transport, encode, decode } of IN_NODE) {
  test(`${name}: publish, history, presence and recovery`, async (t) => {
    const server = await startServer(t);
    const open = () => {
      const client = new Client([{ transport, endpoint: endpoint(server, transport) }], {
        emulationEndpoint: `${server.origin}/emulation`,
        websocket: WebSocket,
        minReconnectDelay: 50,
        maxReconnectDelay: 500,
      });
      t.after(() => client.disconnect());
      return client;
    };
    const [sender, listener] = [open(), open()];
    const heard = [];
    const listening = listener.newSubscription(CHANNEL);
    listening.on('publication', ({ data, offset }) => heard.push([decode(data).number, offset]));
    const sending = sender.newSubscription(CHANNEL);
    for (const subscription of [listening, sending]) subscription.subscribe();
    for (const client of [listener, sender]) client.connect();
    await within('both subscriptions', Promise.all([listening.ready(), sending.ready()]));

    for (let number = 1; number <= COUNT; number += 1) await sending.publish(encode({ number }));
    await until('all publications', () => heard.length === COUNT);
    assert.deepEqual(heard, numbers(1, COUNT));
    const { publications } = await sending.history({ limit: -1 });
    assert.deepEqual(publications.map(({ data }) => decode(data).number), numbers(1, COUNT).map(([number]) => number));
    assert.equal((await sending.presenceStats()).numClients, 2);

    listener.disconnect();
    for (let number = COUNT + 1; number <= 2 * COUNT; number += 1) await sending.publish(encode({ number }));
    const back = new Promise((resolve) => listening.once('subscribed', resolve));
    listener.connect();
    assert.equal((await within('the second subscription', back)).recovered, true);
    await until('what was missed', () => heard.length === 2 * COUNT);
    assert.deepEqual(heard, numbers(1, 2 * COUNT));
    await assert.rejects(sending.history({ limit: -1, since: { offset: 1, epoch: 'another' } }), { code: 112 });
  });

  test(`${name}: a client comes back by itself after the server was killed`, async (t) => {
    const server = await startServer(t);
    const client = new Client([{ transport, endpoint: endpoint(server, transport) }], {
      emulationEndpoint: `${server.origin}/emulation`,
      websocket: WebSocket,
      minReconnectDelay: 50,
      maxReconnectDelay: 500,
    });
    t.after(() => client.disconnect());
    let connections = 0;
    client.on('connected', () => (connections += 1));
    client.connect();
    await until('a connection', () => connections === 1);
    await server.kill();
    await server.start();
    await until('another connection', () => connections === 2);
    // A drain asks the client to come back, and it tries until there is a server again.
    assert.equal(await server.stop(), 0);
    await server.start();
    await until('a third connection', () => connections === 3);
  });
}

for (const transport of ['websocket', 'http_stream', 'sse']) {
  test(`Chromium over ${transport}: publish, a bad subscription, and what was missed`, async (t) => {
    const server = await startServer(t);
    const browser = await startBrowser(t);
    const { page, complaints } = await openPage(browser, `${server.origin}/healthz`);
    const dist = createRequire(import.meta.url).resolve('centrifuge').replace(/build.*$/, 'dist/centrifuge.js');
    await page.addScriptTag({ path: dist });
    const result = await page.evaluate(talk, [transport, CHANNEL, COUNT]);
    assert.deepEqual(result.heard, numbers(1, 2 * COUNT));
    assert.equal(result.recovered, true);
    assert.equal(result.refused, 102);
    assert.equal(result.transport, transport);
    assert.deepEqual(complaints.filter((text) => !text.includes('favicon')), []);
  });
}

test('what comes to /emulation for nobody is refused', async (t) => {
  const server = await startServer(t);
  const post = async (body) => {
    const response = await fetch(`${server.origin}/emulation`, { method: 'POST', body });
    return [response.status, (await response.json()).code];
  };
  const nobody = '00000000-0000-4000-8000-000000000000';
  assert.deepEqual(await post(JSON.stringify({ node: nobody, session: nobody, data: '{}' })), [404, 'session_not_found']);
  assert.deepEqual(await post(JSON.stringify({ node: 'x', session: 'y', data: '{}' })), [404, 'session_not_found']);
  assert.deepEqual(await post('{'), [400, 'emulation_malformed']);
  assert.deepEqual(await post('x'.repeat(70_000)), [413, 'message_too_large']);
});

/** Runs in the page. */
async function talk([transport, channel, count]) {
  const path = { websocket: '/connection/websocket', http_stream: '/connection/http_stream', sse: '/connection/sse' };
  const origin = transport === 'websocket' ? location.origin.replace('http', 'ws') : location.origin;
  const options = { emulationEndpoint: `${location.origin}/emulation`, minReconnectDelay: 50 };
  const open = () => new globalThis.Centrifuge([{ transport, endpoint: origin + path[transport] }], options);
  const wait = async (condition) => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
  };
  const [sender, listener] = [open(), open()];
  const heard = [];
  let used;
  listener.on('connected', (context) => (used = context.transport));
  const listening = listener.newSubscription(channel);
  listening.on('publication', ({ data, offset }) => heard.push([data.number, offset]));
  const sending = sender.newSubscription(channel);
  for (const subscription of [listening, sending]) subscription.subscribe();
  for (const client of [listener, sender]) client.connect();
  await Promise.all([listening.ready(), sending.ready()]);
  for (let number = 1; number <= count; number += 1) await sending.publish({ number });
  await wait(() => heard.length === count);
  listener.disconnect();
  for (let number = count + 1; number <= 2 * count; number += 1) await sending.publish({ number });
  const back = new Promise((resolve) => listening.once('subscribed', resolve));
  listener.connect();
  const { recovered } = await back;
  await wait(() => heard.length === 2 * count);
  const bad = listener.newSubscription('task:nothing');
  const refused = new Promise((resolve) => bad.once('unsubscribed', ({ code }) => resolve(code)));
  bad.subscribe();
  const code = await refused;
  for (const client of [listener, sender]) client.disconnect();
  return { heard, recovered, refused: code, transport: used };
}

function endpoint(server, transport) {
  return transport === 'websocket' ? `${server.webSocketOrigin}/connection/websocket` : `${server.origin}/connection/${transport}`;
}

/** Pairs of number and offset. */
function numbers(first, last) {
  return Array.from({ length: last - first + 1 }, (_, index) => [first + index, first + index]);
}
