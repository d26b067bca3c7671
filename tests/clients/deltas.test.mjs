// Publications as the difference from the one before, applied by the stock centrifuge client over each encoding.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Centrifuge } from 'centrifuge';
import { Centrifuge as ProtobufCentrifuge } from 'centrifuge/build/protobuf';
import WebSocket from 'ws';
import { startServer } from './support/server.mjs';
import { until, within } from './support/wait.mjs';

const OPTIONS = {
  allow_subscribe_for_client: true,
  allow_publish_for_client: true,
  history_size: 100,
  history_ttl: '60s',
  force_recovery: true,
  allowed_delta_types: ['fossil'],
};
const PUSH = {
  namespaces: [
    { name: 'board', ...OPTIONS, delta_publish: true },
    { name: 'price', ...OPTIONS, delta_publish: true, force_recovery_mode: 'cache' },
    { name: 'manual', ...OPTIONS },
  ],
};

const json = { Client: Centrifuge, encode: (value) => value, decode: (value) => value };
const protobuf = {
  Client: ProtobufCentrifuge,
  encode: (value) => new TextEncoder().encode(JSON.stringify(value)),
  decode: (value) => JSON.parse(new TextDecoder().decode(value)),
};
const KINDS = [
  { name: 'WebSocket, JSON', transport: 'websocket', ...json },
  { name: 'WebSocket, protobuf', transport: 'websocket', ...protobuf },
  { name: 'HTTP-streaming, JSON', transport: 'http_stream', ...json },
];

for (const kind of KINDS) {
  test(`${kind.name}: what changes goes out as deltas, also after a recovery`, async (t) => {
    const server = await startServer(t, { config: JSON.stringify({ push: PUSH }) });
    const sender = open(t, server, kind);
    const listener = open(t, server, kind);
    const heard = [];
    const listening = listener.newSubscription('board:a', { delta: 'fossil' });
    listening.on('publication', ({ data }) => heard.push(kind.decode(data)));
    listening.subscribe();
    await within('both', Promise.all([listening.ready(), sender.ready()]));

    const sent = [];
    const publish = async (count) => {
      for (let end = sent.length + count; sent.length < end; ) {
        sent.push(board(sent.length));
        await sender.publish('board:a', kind.encode(sent.at(-1)));
      }
    };
    await publish(20);
    await until('all of them', () => heard.length === sent.length);
    listener.disconnect();
    await publish(5);
    const back = new Promise((resolve) => listening.once('subscribed', resolve));
    listener.connect();
    assert.equal((await within('the second subscription', back)).recovered, true);
    await publish(5);
    await until('what was missed, and more', () => heard.length === sent.length);
    assert.deepEqual(heard, sent);

    const stats = listening.deltaStats();
    // Whole were the first one and those that were missed.
    assert.deepEqual([stats.numPublications, stats.numFullPayloads, stats.numDeltaPayloads], [30, 6, 24]);
    t.diagnostic(`${stats.bytesReceived} bytes for ${stats.bytesDecoded}, ${Math.round(100 * stats.compressionRatio)} % saved`);
    assert.ok(stats.bytesReceived < stats.bytesDecoded / 2);
  });
}

test('of a cache channel the latest comes whole, and the next one as its delta', async (t) => {
  const server = await startServer(t, { config: JSON.stringify({ push: PUSH }) });
  const sender = open(t, server, KINDS[0]);
  for (const n of [0, 1]) await sender.publish('price:a', board(n));
  const heard = [];
  const listening = open(t, server, KINDS[0]).newSubscription('price:a', { delta: 'fossil', since: { offset: 0, epoch: '' } });
  listening.on('publication', ({ data }) => heard.push(data));
  listening.subscribe();
  await until('the latest', () => heard.length === 1);
  await sender.publish('price:a', board(2));
  await until('the next', () => heard.length === 2);
  assert.deepEqual(heard, [board(1), board(2)]);
  assert.equal(listening.deltaStats().numDeltaPayloads, 1);
});

test('the API says which publications go out as deltas, and what is in no history never is one', async (t) => {
  const server = await startServer(t, { config: JSON.stringify({ push: PUSH }) });
  const [delta, whole] = [open(t, server, KINDS[0]), open(t, server, KINDS[0])].map((client, index) => {
    const heard = [];
    const subscription = client.newSubscription('manual:a', index === 0 ? { delta: 'fossil' } : {});
    subscription.on('publication', ({ data }) => heard.push(data));
    subscription.subscribe();
    return { subscription, heard };
  });
  await within('both', Promise.all([delta.subscription.ready(), whole.subscription.ready()]));
  const requests = [{ delta: true }, { delta: true }, {}, { skip_history: true, delta: true }, { delta: true }, { delta: true }];
  for (const [n, how] of requests.entries()) {
    const body = JSON.stringify({ channel: 'manual:a', data: board(n), ...how });
    assert.equal((await fetch(`${server.origin}/api/publish`, { method: 'POST', body })).status, 200);
  }
  await until('all of them', () => delta.heard.length === requests.length && whole.heard.length === requests.length);
  assert.deepEqual(delta.heard, requests.map((_, n) => board(n)));
  assert.deepEqual(whole.heard, delta.heard);
  // The second, and the last: the one after what is in no history has nothing that it is the difference from.
  assert.equal(delta.subscription.deltaStats().numDeltaPayloads, 2);
});

/** A document of which two numbers change from one to the next. */
function board(n) {
  const rows = Array.from({ length: 30 }, (_, id) => ({ id, name: `Ort ${id} — “größer” 🎈`, value: id === n % 30 ? n : 7 }));
  return { n, rows };
}

function open(t, server, { Client, transport }) {
  const base = transport === 'websocket' ? server.webSocketOrigin : server.origin;
  const client = new Client([{ transport, endpoint: `${base}/connection/${transport}` }], {
    emulationEndpoint: `${server.origin}/emulation`,
    websocket: WebSocket,
    minReconnectDelay: 50,
    maxReconnectDelay: 500,
  });
  t.after(() => client.disconnect());
  client.connect();
  return client;
}
