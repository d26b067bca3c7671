// Processes of a push fleet are restarted and emptied under clients that stay: nobody's error callback is called, and nobody is
// in a crowd on its way back.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from './support/centrifuge.mjs';
import { drain, startPushFleet } from './support/push-fleet.mjs';
import { until } from './support/wait.mjs';

/** Clients at once. `WINDLASS_CONNECTIONS=5000` by hand, with `ulimit -n` of 20000. */
const CONNECTIONS = Number(process.env.WINDLASS_CONNECTIONS ?? 500);
/** Seconds over which a process closes its connections. */
const WINDOW = 5;
/** How many of them come at once in the beginning: a crowd of its own making is not what is measured. */
const COMING = 250;
/** Milliseconds; many times what it takes. */
const LONG = 240_000;

const CONFIG = [
  'listener:',
  '  drain: { removal: 500ms, deadline: 20s }',
  'push:',
  `  drain: { window: ${WINDOW}s, grace: 1s }`,
  '',
].join('\n');

test('a rolling restart closes connections evenly, and no client notices more than a reconnect', { timeout: LONG }, async (t) => {
  const fleet = await startPushFleet(t, CONFIG);
  const crowd = await gather(t, fleet);
  for (const server of fleet.servers) {
    assert.equal(await server.stop(), 0);
    await until('everybody is connected', () => crowd.connected() === CONNECTIONS, LONG);
    await server.start();
  }
  const peak = crowd.peak();
  const bound = (2 * CONNECTIONS) / WINDOW;
  t.diagnostic(`${crowd.arrivals.length} reconnects of ${CONNECTIONS}, at most ${peak} in a second; 2 x connections / window is ${bound}`);
  assert.deepEqual(crowd.complaints, []);
  assert.ok(crowd.arrivals.length >= CONNECTIONS, 'each process has sent its clients away');
  assert.ok(peak <= bound, `${peak} reconnects in a second`);
});

test('a process is emptied by an admin call, goes on running, and is taken back', { timeout: LONG }, async (t) => {
  const fleet = await startPushFleet(t, CONFIG);
  const crowd = await gather(t, fleet);
  const [server] = fleet.servers;
  assert.equal((await drain(server, 'GET')).state, 'running');
  const ready = async () => (await fetch(`${server.admin}/readyz`)).status;

  const begun = await drain(server, 'POST', { window: '10m' });
  assert.deepEqual([begun.state, begun.windowSeconds], ['leaving', 600]);
  assert.equal(await ready(), 503);
  // As a load balancer does that asks for readiness.
  fleet.ports.splice(fleet.ports.indexOf(server.port), 1);
  await until('clients are asked', async () => (await drain(server, 'GET')).state === 'closing');
  // Nobody waits ten minutes: the rest goes at another pace.
  await drain(server, 'POST', { window: `${WINDOW}s` });
  const last = await until('nobody is left', async () => {
    const report = await drain(server, 'GET');
    return report.state === 'drained' && report;
  });
  assert.deepEqual([last.connections, last.windowSeconds], [0, WINDOW]);
  t.diagnostic(`${last.begunWith} connections left in ${last.elapsedSeconds.toFixed(1)} s, at most ${crowd.peak()} came in a second`);
  await until('everybody is connected', () => crowd.connected() === CONNECTIONS, LONG);
  assert.deepEqual(crowd.complaints, []);

  assert.equal((await drain(server, 'DELETE')).state, 'running');
  assert.equal(await ready(), 200);
  fleet.ports.push(server.port);
  const newcomers = await gather(t, fleet, fleet.ports.length);
  assert.equal((await drain(server, 'GET')).connections, 1, 'it takes its share of those who come');
  assert.equal(newcomers.connected(), fleet.ports.length);
});

/** Connects stock clients, each subscribed to one of some channels, and notes when they come back and what they complain of. */
async function gather(t, fleet, count = CONNECTIONS) {
  const [arrivals, complaints] = [[], []];
  // The library's own delays.
  const options = { minReconnectDelay: 500, maxReconnectDelay: 20_000 };
  const members = [];
  const standing = ({ client, subscription }) => client.state === 'connected' && subscription.state === 'subscribed';
  const connected = () => members.filter(standing).length;
  const join = () => {
    const { client } = connect(t, fleet, options);
    const subscription = client.newSubscription(`chat:${members.length % 20}`);
    const member = { client, subscription, times: 0 };
    client.on('connected', () => {
      member.times += 1;
      if (member.times > 1) arrivals.push(Date.now());
    });
    for (const source of [client, subscription]) source.on('error', ({ error }) => complaints.push(error));
    client.on('disconnected', (context) => complaints.push(context));
    subscription.subscribe();
    members.push(member);
  };
  while (members.length < count) {
    while (members.length < count && members.length - connected() < COMING) join();
    await until('some are connected', () => members.length - connected() < COMING / 2, LONG);
  }
  await until('everybody is connected', () => connected() === count, LONG);
  return { arrivals, complaints, connected, peak: () => peak(arrivals) };
}

/** The most that came within any one second. */
function peak(arrivals) {
  let [first, most] = [0, 0];
  arrivals.forEach((arrival, index) => {
    while (arrivals[first] <= arrival - 1_000) first += 1;
    most = Math.max(most, index - first + 1);
  });
  return most;
}
