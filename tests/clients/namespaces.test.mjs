// Namespaces, tokens for channels, server-side subscriptions, and who comes and goes, by the stock centrifuge client.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from './support/centrifuge.mjs';
import { temporaryFolder } from './support/files.mjs';
import { secondsFromNow, sign } from './support/jwt.mjs';
import { startServer } from './support/server.mjs';
import { until, within } from './support/wait.mjs';

const SECRET = 'a secret of at least thirty-two bytes';

const PUSH = {
  // So that a test need not wait for long until somebody has left.
  connection: { leaveGrace: '200ms' },
  namespaces: [
    { name: 'private', history_size: 50, history_ttl: '60s', force_recovery: true, allow_publish_for_subscriber: true },
    { name: 'room', allow_subscribe_for_client: true, presence: true, join_leave: true, force_push_join_leave: true,
      allow_presence_for_subscriber: true },
    { name: 'inbox', allow_user_limited_channels: true },
    { name: 'price', history_size: 10, history_ttl: '60s', force_recovery: true, force_recovery_mode: 'cache',
      allow_subscribe_for_client: true, allow_publish_for_client: true },
  ],
};

test('a subscription token opens a private channel, is refreshed, and another user cannot use it', async (t) => {
  const server = await start(t);
  const { client } = connect(t, server, { token: connection('ann') });
  let asked = 0;
  const subscription = client.newSubscription('$private:a', {
    getToken: async ({ channel }) => {
      asked += 1;
      return sign(SECRET, { sub: 'ann', channel, exp: secondsFromNow(asked === 1 ? 2 : 600), info: { from: 'token' } });
    },
  });
  subscription.subscribe();
  await within('the subscription', subscription.ready());
  await until('a second token', () => asked >= 2);
  await subscription.publish({ n: 1 });
  assert.equal(subscription.state, 'subscribed');

  const { client: thief } = connect(t, server, { token: connection('eve') });
  await within('the connection', thief.ready());
  const gone = new Promise((resolve) => thief.once('disconnected', resolve));
  const stolen = sign(SECRET, { sub: 'ann', channel: '$private:a', exp: secondsFromNow(60) });
  thief.newSubscription('$private:a', { token: stolen }).subscribe();
  assert.equal((await within('the end', gone)).code, 3500);
});

test('a channel without a token, of an unknown namespace, or for another user is refused', async (t) => {
  const server = await start(t);
  const { client } = connect(t, server, { token: connection('ann') });
  await within('the connection', client.ready());
  for (const [channel, code] of [['private:a', 103], ['$private:a', 103], ['nothing:a', 102], ['inbox:#eve', 103]]) {
    const subscription = client.newSubscription(channel);
    const refused = new Promise((resolve) => subscription.once('unsubscribed', resolve));
    subscription.subscribe();
    assert.equal((await within(`the refusal of ${channel}`, refused)).code, code, channel);
  }
  const mine = client.newSubscription('inbox:#bob,ann');
  mine.subscribe();
  await within('the channel for ann', mine.ready());
});

test('the connection token brings subscriptions, which recover by themselves', async (t) => {
  const server = await start(t);
  const token = sign(SECRET, { sub: 'ann', exp: secondsFromNow(600), channels: ['private:a'], rights: ['watch', 'publish'] });
  const { client, sockets } = connect(t, server, { token });
  const heard = [];
  const recovered = [];
  client.on('publication', ({ channel, data }) => heard.push([channel, data.n]));
  client.on('subscribed', ({ channel, recovered: all }) => recovered.push([channel, all]));
  await within('the connection', client.ready());
  await until('the subscription', () => recovered.length === 1);

  const { client: other } = connect(t, server, { token: connection('bob') });
  const publishing = other.newSubscription('private:a', {
    token: sign(SECRET, { sub: 'bob', channel: 'private:a', exp: secondsFromNow(60) }),
  });
  publishing.subscribe();
  await within('the other', publishing.ready());
  await publishing.publish({ n: 1 });
  await until('the first', () => heard.length === 1);
  sockets.at(-1).terminate();
  await publishing.publish({ n: 2 });
  await until('the second, missed or not', () => heard.length === 2);
  await until('the subscription again', () => recovered.length === 2);
  assert.deepEqual(heard, [['private:a', 1], ['private:a', 2]]);
  assert.deepEqual(recovered[1], ['private:a', true]);
});

test('subscribers are told who comes and goes, with what the token says of them', async (t) => {
  const server = await start(t);
  const { client } = connect(t, server, { token: connection('ann') });
  const seen = [];
  const subscription = client.newSubscription('room:a');
  subscription.on('join', ({ info }) => seen.push(['join', info.user, info.connInfo]));
  subscription.on('leave', ({ info }) => seen.push(['leave', info.user, info.connInfo]));
  subscription.subscribe();
  await within('the subscription', subscription.ready());
  const { client: other } = connect(t, server, { token: connection('bob', { info: { name: 'Bob' } }) });
  const others = other.newSubscription('room:a');
  others.subscribe();
  await within('the other', others.ready());
  await until('the join', () => seen.some(([what, user]) => what === 'join' && user === 'bob'));
  const { clients } = await subscription.presence();
  assert.deepEqual(Object.values(clients).map(({ user }) => user).sort(), ['ann', 'bob']);
  other.disconnect();
  await until('the leave', () => seen.some(([what]) => what === 'leave'));
  assert.deepEqual(seen.slice(-2), [['join', 'bob', { name: 'Bob' }], ['leave', 'bob', { name: 'Bob' }]]);
});

test('of a cache channel who comes gets the latest value, and who comes back the newest', async (t) => {
  const server = await start(t);
  const { client } = connect(t, server, { token: connection('ann') });
  for (const n of [1, 2, 3]) await client.publish('price:a', { n });
  const { client: other } = connect(t, server, { token: connection('bob') });
  const heard = [];
  const subscription = other.newSubscription('price:a', { since: { offset: 0, epoch: '' } });
  subscription.on('publication', ({ data }) => heard.push(data.n));
  subscription.subscribe();
  await until('the latest', () => heard.length === 1);
  other.disconnect();
  for (const n of [4, 5]) await client.publish('price:a', { n });
  other.connect();
  await until('the newest', () => heard.length === 2);
  assert.deepEqual(heard, [3, 5]);
});

/** A server with auth and the namespaces above. */
async function start(t) {
  const folder = await temporaryFolder(t);
  const secret = await folder.write('secret', SECRET);
  return startServer(t, { config: JSON.stringify({ auth: { hmacSecretFile: secret }, push: PUSH }) });
}

function connection(user, claims = {}) {
  return sign(SECRET, { sub: user, exp: secondsFromNow(600), rights: ['watch', 'publish'], ...claims });
}
