// The fleet of push-fleet.mjs on one Redis behind toxiproxy: its processes share their channels.

import { request } from './http.mjs';
import { startPushFleet } from './push-fleet.mjs';
import { Redis } from './redis.mjs';
import { startProxies } from './toxiproxy.mjs';

/** How many publications channels of the namespace `brief` remember. */
export const BRIEF = 3;

/** Starts such a fleet for test `t`; with `replicated`, Redis has a replica from the beginning. */
export async function startSharedPushFleet(t, { replicated = false } = {}) {
  const redis = await Redis.start(t);
  const replica = replicated ? await Redis.start(t) : undefined;
  await replica?.follow(redis);
  const lines = await startProxies(t, { redis: redis.address });
  const fleet = await startPushFleet(t, configuration(lines.redis.address));
  return { ...fleet, redis, replica, lines };
}

/** Calls the API of a server or fleet; throws what is no result. */
export async function call({ origin, apiKey }, method, params = {}) {
  const headers = { 'Content-Type': 'application/json', ...(apiKey && { 'X-API-Key': apiKey }) };
  const answer = await request('POST', `${origin}/api/${method}`, { headers, body: JSON.stringify(params) });
  const { error, result } = answer.json();
  if (!result) throw new Error(`${method}: ${answer.status} ${JSON.stringify(error ?? answer.text)}`);
  return result;
}

/** What all processes are told, with the address at which one reaches Redis. */
export function configuration(address) {
  return [
    'store:',
    '  redis:',
    `    url: redis://${address}`,
    'push:',
    '  drain: { window: 2s, grace: 1s }',
    '  channels:',
    '    allow_subscribe_for_client: true',
    '    history_size: 1000',
    '    history_ttl: 10m',
    '    force_recovery: true',
    '    presence: true',
    '  namespaces:',
    `    - { name: brief, allow_subscribe_for_client: true, history_size: ${BRIEF}, history_ttl: 10m, force_recovery: true }`,
    '',
  ].join('\n');
}
