// A push process to which nothing comes that is published, while every connection of it stands and every check succeeds.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startDeafening } from './support/deaf.mjs';
import { Listener, Publisher } from './support/numbers.mjs';
import { isReady, nodes, startPushFleet } from './support/push-fleet.mjs';
import { configuration } from './support/push-redis.mjs';
import { Redis } from './support/redis.mjs';
import { until, within } from './support/wait.mjs';

test('a blind process subscribes anew, and where that does not help it is not ready until it sees', { timeout: 180_000 }, async (t) => {
  const redis = await Redis.start(t);
  const line = await startDeafening(t, redis);
  const fleet = await startPushFleet(t, [line.address, redis.address].map(configuration));
  const [blind, other] = fleet.servers;
  await until('each sees its probes', async () => (await nodes(other)).filter((node) => node.probeAgeSeconds < 2).length === 2);
  const channel = new Publisher(t, other, 'numbers');
  const listener = new Listener(t, blind, channel);
  await within('the subscription', listener.subscription.ready());
  const publishing = channel.run();
  const hears = (what) => {
    const mark = channel.acknowledged + 5;
    return until(what, () => listener.last >= mark);
  };
  await hears('the first numbers');

  line.deafen();
  await hears('the numbers by new subscriptions');
  assert.deepEqual(await ready(), [true, true]);

  line.deafen({ all: true });
  await until('the blind process is not ready', async () => !(await isReady(blind)), 60_000);
  assert.equal(await isReady(other), true);
  const fault = await (await fetch(`${blind.admin}/readyz`)).text();
  assert.match(fault, /deliveries/);
  // It hears no answers either, so it shows itself.
  const [{ probeAgeSeconds }] = await nodes(blind);
  t.diagnostic(`not ready ${probeAgeSeconds.toFixed(1)} s after its last probe came`);

  line.hear();
  await hears('the numbers again');
  await until('it is ready again', async () => (await ready()).every(Boolean));
  channel.ended = true;
  await publishing;
  await until('the last number', () => listener.last === channel.acknowledged);
  assert.deepEqual([listener.wrong, listener.told], [[], 0], 'each number once and in order, and nothing was missed');

  function ready() {
    return Promise.all([blind, other].map(isReady));
  }
});
