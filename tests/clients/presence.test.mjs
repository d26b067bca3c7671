// Who is where, over three push processes on one Redis: after `kill -9`, while processes are replaced, and for what is meant for
// one user's devices.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from './support/centrifuge.mjs';
import { temporaryFolder } from './support/files.mjs';
import { secondsFromNow, sign } from './support/jwt.mjs';
import { startPushFleet } from './support/push-fleet.mjs';
import { Redis } from './support/redis.mjs';
import { until, within } from './support/wait.mjs';

/** Milliseconds; leases have to end, and the machine may be slow. */
const LONG = 120_000;
const SECRET = 'a secret of at least thirty-two bytes';
const API_KEY = 'the-key-of-the-application';
const ROOM = 'room';
/** Users of the fleet that is replaced. */
const MEMBERS = 12;

test('after kill -9 presence is right, and what is for a user reaches each of its devices', { timeout: LONG }, async (t) => {
  const fleet = await start(t, { leaveGrace: '5s' });
  const [first, second, third] = fleet.servers;
  const devices = [first, second, third].map((server) => device(t, server, 'ada'));
  const eve = device(t, third, 'eve');
  await Promise.all([...devices, eve].map(({ subscription }) => within('a subscription', subscription.ready())));
  const present = async () => (await call(second, 'presence_stats', { channel: ROOM })).num_clients;
  await until('all are present', async () => (await present()) === 4);
  await call(third, 'subscribe', { user: 'ada', channel: 'notices' });
  await until('each device has it', () => devices.every(({ told }) => told.includes('notices')));

  const dead = devices[0].client;
  const begun = Date.now();
  await first.kill();
  await call(second, 'subscribe', { user: 'ada', channel: 'news' });
  const answered = Date.now() - begun;
  await until('each device that is left has it', () => devices.slice(1).every(({ told }) => told.includes('news')));
  await until('the dead one is not present', async () => (await present()) === 3, LONG);
  const gone = Date.now() - begun;
  const left = ({ seen }) => seen.filter(([what]) => what === 'leave').map(([, user]) => user);
  await until('each has heard that it left', () => [devices[1], devices[2], eve].every((one) => left(one).length > 0), LONG);
  t.diagnostic(`a call for a user was answered ${answered} ms after the kill; the ghost was gone after ${gone} ms, its leaving told after ${Date.now() - begun} ms`);
  dead.disconnect();

  // At another process, it is a device like any other.
  const again = device(t, second, 'ada');
  await within('the subscription', again.subscription.ready());
  await call(third, 'subscribe', { user: 'ada', channel: 'later' });
  await until('it has it', () => [again, devices[1], devices[2]].every(({ told }) => told.includes('later')));
  for (const one of [devices[1], devices[2], eve]) assert.deepEqual(left(one), ['ada'], 'it left once');
  assert.deepEqual(eve.told, [], 'what is for a user is for no other');
});

test('nobody is seen to leave or to join while all processes are replaced', { timeout: LONG }, async (t) => {
  // A machine that is busy may take its time to bring a client back.
  const fleet = await start(t, { leaveGrace: '60s' });
  const members = Array.from({ length: MEMBERS }, (_, index) => device(t, fleet, `user-${index}`));
  await Promise.all(members.map(({ subscription }) => within('a subscription', subscription.ready())));
  await hear(fleet, members, 'the beginning');
  members.forEach((member) => (member.seen.length = 0));
  const known = await clients(fleet);
  assert.equal(known.length, MEMBERS);
  for (const server of fleet.servers) {
    assert.equal(await server.stop(), 0);
    await server.start();
  }
  await until('all are back', () => members.every(({ subscription }) => subscription.state === 'subscribed'));
  await hear(fleet, members, 'the end');
  assert.deepEqual(members.flatMap(({ seen }) => seen), []);
  assert.ok(members.every(({ sockets }) => sockets.length > 1), 'all were asked to move');
  assert.deepEqual(await clients(fleet), known, 'each is shown as whom the others know');

  members[0].subscription.unsubscribe();
  const others = members.slice(1);
  await until('the others are told that one left', () => others.every(({ seen }) => seen.length > 0));
  const whoLeft = new Set(others.map(({ seen }) => seen.map((event) => event.join(' ')).join()));
  assert.equal(whoLeft.size, 1);
  const [[what, user, client]] = others[0].seen;
  assert.deepEqual([what, user], ['leave', 'user-0']);
  assert.ok(known.includes(client), 'and as whom they know it');
});

/** Three processes that share channels and know their users by token. */
async function start(t, connection) {
  const folder = await temporaryFolder(t);
  const redis = await Redis.start(t);
  const config = {
    auth: { hmacSecretFile: await folder.write('secret', SECRET) },
    store: { redis: { url: `redis://${redis.address}` } },
    push: {
      api: { keyFile: await folder.write('key', `${API_KEY}\n`) },
      drain: { window: '1s', grace: '1s' },
      connection,
      channels: { allow_subscribe_for_client: true, presence: true, join_leave: true, force_push_join_leave: true },
    },
  };
  return startPushFleet(t, JSON.stringify(config));
}

/** A stock client of a user in the room: what it was subscribed to by the server, and whom it has seen come and go. */
function device(t, server, user) {
  const token = sign(SECRET, { sub: user, exp: secondsFromNow(600), rights: ['watch', 'publish'] });
  const { client, sockets } = connect(t, server, { token });
  const [told, seen, heard] = [[], [], []];
  client.on('subscribed', ({ channel }) => told.push(channel));
  const subscription = client.newSubscription(ROOM);
  for (const what of ['join', 'leave']) subscription.on(what, ({ info }) => seen.push([what, info.user, info.client]));
  subscription.on('publication', ({ data }) => heard.push(data));
  subscription.subscribe();
  return { client, sockets, subscription, told, seen, heard };
}

/** Publishes until everybody has heard it: what was told before has come too. */
async function hear(fleet, members, what) {
  await until(`all hear ${what}`, async () => {
    await call(fleet, 'publish', { channel: ROOM, data: what });
    return members.every(({ heard }) => heard.includes(what));
  });
}

async function clients(fleet) {
  const { presence } = await call(fleet, 'presence', { channel: ROOM });
  return Object.keys(presence).sort();
}

async function call({ origin }, method, params) {
  const headers = { 'Content-Type': 'application/json', 'X-API-Key': API_KEY };
  const response = await fetch(`${origin}/api/${method}`, { method: 'POST', headers, body: JSON.stringify(params) });
  const { error, result } = await response.json();
  if (!result) throw new Error(`${method}: ${response.status} ${JSON.stringify(error)}`);
  return result;
}
