// A backend that decides: the stock centrifuge clients for JavaScript and Python, without a token, and a backend as
// Centrifugo's users have it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBackend } from './support/backend.mjs';
import { connect } from './support/centrifuge.mjs';
import { temporaryFolder } from './support/files.mjs';
import { secondsFromNow } from './support/jwt.mjs';
import { startPython } from './support/python.mjs';
import { startServer } from './support/server.mjs';
import { until, within } from './support/wait.mjs';

const SECRET = 'a secret of at least thirty-two bytes';

const CHAT = {
  subscribe: ({ channel, data, user }) =>
    channel === 'chat:closed'
      ? { error: { code: 403, message: 'not yours' } }
      : { result: { data: { welcome: user, said: data ?? null }, info: { seat: 7 }, override: { join_leave: { value: true } } } },
  publish: ({ data }) =>
    data.rude ? { error: { code: 1400, message: 'mind your language' } } : { result: { data: { ...data, checked: true } } },
  rpc: ({ method, data, user, meta }) =>
    method === 'out' ? { disconnect: { code: 4501, reason: 'as you wish' } } : { result: { data: { method, data, user, meta } } },
};

test('a client without a token is let in by its cookie and its emulated headers, and calls the backend', async (t) => {
  const { server, backend } = await start(t, {
    connect: (_, headers) =>
      headers.authorization === 'Bearer ann'
        ? { result: { user: 'ann', data: { hello: 'ann' }, meta: { role: 'admin' }, channels: ['news:all'] } }
        : { disconnect: { code: 4503, reason: 'who are you' } },
    ...CHAT,
  });
  const { client } = connect(t, server, { headers: { Authorization: 'Bearer ann', Cookie: 'forged' }, data: { from: 'test' } });
  const connected = new Promise((resolve) => client.once('connected', resolve));
  const news = new Promise((resolve) => client.once('subscribed', resolve));
  assert.deepEqual((await within('the connection', connected)).data, { hello: 'ann' });
  assert.equal((await within('the subscription of the server', news)).channel, 'news:all');
  const [call] = backend.calls('connect');
  assert.deepEqual([call.transport, call.protocol, call.name, call.data], ['websocket', 'json', 'js', { from: 'test' }]);

  const { data } = await client.rpc('price', { of: 7 });
  assert.deepEqual(data, { method: 'price', data: { of: 7 }, user: 'ann', meta: { role: 'admin' } });
  await assert.rejects(client.rpc('nobody:there', {}), { code: 104 });

  const gone = new Promise((resolve) => client.once('disconnected', resolve));
  client.rpc('out', {}).catch(() => {});
  assert.equal((await within('the end', gone)).code, 4501);
  await until('the backend hears of it', () => backend.calls('disconnect').length === 1);
  assert.deepEqual([backend.calls('disconnect')[0].user, backend.calls('disconnect')[0].code], ['ann', 4501]);

  const { client: stranger } = connect(t, server, {});
  const refused = new Promise((resolve) => stranger.once('disconnected', resolve));
  assert.deepEqual(await within('the refusal', refused), { code: 4503, reason: 'who are you' });
  assert.equal(backend.calls('disconnect').length, 1, 'told twice, or of somebody who never came in');
});

test('a backend grants and denies subscriptions, and changes what is published', async (t) => {
  const { server, backend } = await start(t, { connect: { result: { user: 'ann' } }, ...CHAT });
  const { client } = connect(t, server, {});
  const closed = client.newSubscription('chat:closed');
  const denied = new Promise((resolve) => closed.once('unsubscribed', resolve));
  closed.subscribe();
  assert.deepEqual(await within('the denial', denied), { channel: 'chat:closed', code: 403, reason: 'not yours' });

  const open = client.newSubscription('chat:open', { data: { ticket: 1 } });
  const heard = [];
  open.on('publication', ({ data, info }) => heard.push([data, info?.chanInfo]));
  const subscribed = new Promise((resolve) => open.once('subscribed', resolve));
  open.subscribe();
  assert.deepEqual((await within('the grant', subscribed)).data, { welcome: 'ann', said: { ticket: 1 } });
  await open.publish({ text: 'hello' });
  await assert.rejects(open.publish({ rude: true }), { code: 1400, message: 'mind your language' });
  await until('the publication', () => heard.length === 1);
  assert.deepEqual(heard, [[{ text: 'hello', checked: true }, { seat: 7 }]]);

  open.unsubscribe();
  await until('the backend hears of it', () => backend.calls('unsubscribe').length === 1);
  assert.deepEqual(backend.calls('unsubscribe')[0].channel, 'chat:open');
});

test('a connection and a subscription live as long as the backend prolongs them', async (t) => {
  let prolongs = true;
  const prolong = () => (prolongs ? { result: { expire_at: secondsFromNow(2) } } : { result: { expired: true } });
  const { server, backend } = await start(t, {
    connect: () => ({ result: { user: 'ann', expire_at: secondsFromNow(2) } }),
    subscribe: () => ({ result: { expire_at: secondsFromNow(2) } }),
    refresh: prolong,
    sub_refresh: prolong,
  });
  const { client } = connect(t, server, {});
  const disconnects = [];
  client.on('connecting', ({ code }) => disconnects.push(code));
  const subscription = client.newSubscription('chat:a');
  subscription.subscribe();
  await within('the subscription', subscription.ready());
  await until('both are prolonged', () => backend.calls('refresh').length > 1 && backend.calls('sub_refresh').length > 1);
  assert.equal(subscription.state, 'subscribed');
  assert.deepEqual(disconnects, []);
  prolongs = false;
  await until('the end', () => disconnects.includes(3005));
});

for (const encoding of ['json', 'protobuf']) {
  test(`centrifuge-python in ${encoding} is let in, granted and denied, and calls the backend`, async (t) => {
    const { server, backend } = await start(t, { connect: { result: { user: 'ann', meta: { role: 'x' } } }, ...CHAT });
    const args = [`${server.webSocketOrigin}/connection/websocket`, encoding];
    const [said] = await startPython(t, 'centrifuge_proxied.py', args).ended();
    assert.deepEqual(said, {
      denied: 403,
      welcome: { welcome: 'ann', said: { ticket: 1 } },
      rpc: { method: 'price', data: { of: 7 }, user: 'ann', meta: { role: 'x' } },
      heard: { text: 'hello', checked: true },
    });
    assert.equal(backend.calls('connect')[0].protocol, encoding);
    await until('the backend hears of the end', () => backend.calls('disconnect').length === 1);
  });
}

/** A server where clients log in, and a backend with these answers that is asked everything. */
async function start(t, answers) {
  const backend = await startBackend(t, { disconnect: {}, unsubscribe: {}, ...answers });
  const on = (path, more) => ({ enabled: true, ...backend.at(path, more) });
  const proxied = ['subscribe', 'publish', 'sub_refresh', 'unsubscribe'].filter((kind) => kind in answers || kind === 'unsubscribe');
  const push = {
    client: {
      proxy: {
        connect: on('connect', { emulated_headers: ['authorization'] }),
        disconnect: on('disconnect'),
        ...('refresh' in answers && { refresh: on('refresh') }),
      },
    },
    channel: { proxy: Object.fromEntries(proxied.map((kind) => [kind, backend.at(kind)])) },
    rpc: { proxy: backend.at('rpc', { include_connection_meta: true }), without_namespace: { proxy_enabled: true }, namespaces: [{ name: 'other' }] },
    namespaces: [
      { name: 'chat', ...Object.fromEntries(proxied.map((kind) => [`${kind}_proxy_enabled`, true])) },
      { name: 'news' },
    ],
  };
  const folder = await temporaryFolder(t);
  const secret = await folder.write('secret', SECRET);
  return { server: await startServer(t, { config: JSON.stringify({ auth: { hmacSecretFile: secret }, push }) }), backend };
}
