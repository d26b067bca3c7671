// The page of the push nodes in Chromium, as those who run them look at it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import WebSocket from 'ws';
import { openPage, screenshot, scrollsSideways, startBrowser } from './support/browser.mjs';
import { connect } from './support/centrifuge.mjs';
import { startSharedPushFleet } from './support/push-redis.mjs';
import { startServer } from './support/server.mjs';
import { until, within } from './support/wait.mjs';

test('the page shows connections, rates, close codes and what waits, and says when nobody answers', async (t) => {
  const server = await startServer(t);
  const browser = await startBrowser(t);
  const { page, complaints } = await openPage(browser, `${server.origin}/admin/push`);
  const text = (id) => page.locator(`#${id}`).innerText();
  await until('the node answers', async () => (await text('link')) === '1 node answers');
  assert.equal(await text('connections'), '0');

  const clients = Array.from({ length: 5 }, () => connect(t, server).client);
  const subscriptions = clients.map((client, index) => client.newSubscription(`board:${index % 2}`));
  for (const subscription of subscriptions) subscription.subscribe();
  await within('all subscriptions', Promise.all(subscriptions.map((subscription) => subscription.ready())));
  let running = true;
  const publishing = (async () => {
    for (let n = 0; running; n += 1) await subscriptions[0].publish({ n });
  })();
  const bad = new WebSocket(`${server.webSocketOrigin}/connection/websocket`);
  bad.onopen = () => bad.send('garbage');

  await until('the connections', async () => (await text('connections')) === '5');
  await until('a rate', async () => Number((await text('deliveries')).replaceAll(',', '')) > 0);
  await until('the close code', async () => /3501\s+bad request/.test(await text('closed')));
  assert.match(await text('busiest'), /board:0\s+default\s+3\s+board:1\s+default\s+2/);
  assert.equal(await text('subscriptions'), '5');
  assert.match(await text('nodes'), /^[0-9a-f-]{36}\s/);
  await screenshot(page, 'admin-nodes');
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.setViewportSize({ width: 420, height: 900 });
  assert.equal(await scrollsSideways(page), false);
  await screenshot(page, 'admin-nodes-narrow');
  running = false;
  await publishing;
  assert.deepEqual(complaints, []);
  await server.kill();
  await until('the page says so', async () => (await text('link')).startsWith('No answer'));
});

test('the page of any process shows all of them, each with what it has and the age of its probe', async (t) => {
  const { servers } = await startSharedPushFleet(t);
  const subscriptions = servers.flatMap((server, index) => Array.from({ length: index + 1 }, () => {
    const subscription = connect(t, server).client.newSubscription('board');
    subscription.subscribe();
    return subscription;
  }));
  await within('all subscriptions', Promise.all(subscriptions.map((subscription) => subscription.ready())));
  const browser = await startBrowser(t);
  const { page, complaints } = await openPage(browser, `${servers[0].admin}/admin/push`);
  const rows = () => page.locator('#nodes tr').evaluateAll((all) => all.map((row) => [...row.cells].map((cell) => cell.innerText)));
  // Name, time, connections, users, subscriptions, channels, two rates, two queues, probe.
  const seen = await until('three nodes with their probes', async () => {
    const shown = await rows();
    return shown.length === 3 && shown.every((cells) => /^\d+\.\d s ago$/.test(cells[10])) && shown;
  });
  assert.deepEqual(seen.map((cells) => cells[2]).sort(), ['1', '2', '3']);
  assert.equal(await page.locator('#connections').innerText(), '6');
  await screenshot(page, 'admin-nodes-three');
  assert.deepEqual(complaints, []);
});
