// The HTTP API as an application's backend uses it: the stock `cent` for every method, and by hand what it has no call for.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from './support/centrifuge.mjs';
import { temporaryFolder } from './support/files.mjs';
import { secondsFromNow, sign } from './support/jwt.mjs';
import { startPython } from './support/python.mjs';
import { startServer } from './support/server.mjs';
import { until, within } from './support/wait.mjs';

const SECRET = 'a secret of at least thirty-two bytes';
const KEY = 'a-key-for-the-backend-only';

test('cent publishes, asks and steers, and the connected client sees it', async (t) => {
  const server = await start(t);
  const { client } = connect(t, server, { token: connection('ann') });
  const heard = [];
  const events = [];
  client.on('subscribed', ({ channel }) => events.push(`server subscribed ${channel}`));
  client.on('disconnected', ({ code, reason }) => events.push(`disconnected ${code} ${reason}`));
  const subscription = client.newSubscription('chat:a');
  subscription.on('publication', ({ data }) => heard.push(data.n));
  subscription.on('unsubscribed', ({ code }) => events.push(`unsubscribed ${code}`));
  subscription.subscribe();
  await within('the subscription', subscription.ready());

  const args = [`${server.origin}/api`, KEY, 'chat:a', 'ann'];
  const [told] = await startPython(t, 'cent_steer.py', ['steer', ...args]).ended();
  await until('what the server changed', () => events.length === 2);
  await startPython(t, 'cent_steer.py', ['disconnect', ...args]).ended();
  await until('the end', () => events.length === 3);
  assert.deepEqual(told, {
    first: 1,
    twice: [2, 2],
    broadcast: [false, true],
    history: [1, 2, 3],
    tags: [{ from: 'cent' }, null, null],
    batch: [4, 1],
    users: ['ann'],
    stats: 1,
    channels: ['chat:a'],
    nodes: [1],
    connections: [['ann', ['chat:a']]],
    unknown: 102,
    removed: 0,
  });
  assert.deepEqual(heard, [1, 2, 3, 4]);
  assert.deepEqual(events, ['server subscribed chat:a-by-server', 'unsubscribed 2000', 'disconnected 4567 enough']);
});

test('without the right key nothing is done, and what is malformed is told', async (t) => {
  const server = await start(t);
  const call = async (path, body, headers = { 'X-API-Key': KEY }) => {
    const response = await fetch(server.origin + path, { method: 'POST', body, headers });
    const text = await response.text();
    return [response.status, response.headers.get('content-type').includes('problem') ? JSON.parse(text).code : text];
  };
  const publish = JSON.stringify({ channel: 'chat:a', data: { n: 1 } });
  assert.deepEqual(await call('/api/publish', publish, {}), [401, 'api_key_invalid']);
  assert.deepEqual(await call('/api/publish', publish, { 'X-API-Key': `${KEY}x` }), [401, 'api_key_invalid']);
  assert.deepEqual(await call('/api/publish', '{"channel":7}'), [400, 'api_malformed']);
  assert.deepEqual(await call('/api/nothing', '{}'), [404, 'method_not_found']);
  const [status, text] = await call('/api/publish', publish, { Authorization: `apikey ${KEY}` });
  assert.deepEqual([status, JSON.parse(text).result.offset], [200, 1]);
  assert.deepEqual(await call('/api/publish', '{"channel":"task:x","data":1}'), [
    200,
    '{"error":{"code":108,"message":"not available"}}',
  ]);

  const old = [{ id: 1, method: 'publish', params: { channel: 'chat:a', data: {} } }, { method: 'nothing', params: {} }];
  const [, answers] = await call('/api', old.map((command) => JSON.stringify(command)).join('\n'));
  const [first, second] = answers.split('\n').map((line) => JSON.parse(line));
  assert.deepEqual([first.id, first.result.offset, second.error.code], [1, 2, 104]);
});

test('on loopback without auth the API is as open as everything else', async (t) => {
  const server = await startServer(t);
  const { client } = connect(t, server);
  const subscription = client.newSubscription('news');
  const heard = [];
  subscription.on('publication', ({ data, tags }) => heard.push([data, tags]));
  subscription.subscribe();
  await within('the subscription', subscription.ready());
  const body = JSON.stringify({ channel: 'news', data: [1], tags: { a: 'b' } });
  assert.equal((await fetch(`${server.origin}/api/publish`, { method: 'POST', body })).status, 200);
  await until('the publication', () => heard.length === 1);
  assert.deepEqual(heard, [[[1], { a: 'b' }]]);
});

/** A server with auth, a key for the API and one namespace. */
async function start(t) {
  const folder = await temporaryFolder(t);
  const push = {
    api: { keyFile: await folder.write('key', `${KEY}\n`) },
    namespaces: [
      { name: 'chat', history_size: 50, history_ttl: '60s', force_recovery: true, presence: true,
        allow_subscribe_for_client: true },
    ],
  };
  const auth = { hmacSecretFile: await folder.write('secret', SECRET) };
  return startServer(t, { config: JSON.stringify({ auth, push }) });
}

function connection(user) {
  return sign(SECRET, { sub: user, exp: secondsFromNow(600), rights: ['watch', 'publish'] });
}
