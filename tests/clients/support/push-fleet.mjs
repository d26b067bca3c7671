// Three push processes with a balancer in front, each with an admin listener of its own: what a region runs for its watchers.

import { dirname, join } from 'node:path';
import { startBalancer } from './balancer.mjs';
import { temporaryFolder } from './files.mjs';
import { Server, freePort } from './server.mjs';

/** How many processes, where a test does not say. */
const PROCESSES = 3;
/** Who may drain them. */
const ADMIN_KEY = 'the-key-of-those-who-run-it';

/**
 * Starts a fleet for test `t`; `config` is the text of all processes' configuration file, or a list of texts, one a process.
 */
export async function startPushFleet(t, config) {
  const binary = process.env.WINDLASS_BIN;
  if (!binary) throw new Error('WINDLASS_BIN must name the windlass binary; `tests/run clients` builds and sets it');
  const folder = await temporaryFolder(t);
  const key = await folder.write('admin.key', ADMIN_KEY);
  const configs = Array.isArray(config) ? config : Array.from({ length: PROCESSES }, () => config);
  const servers = [];
  for (const [index, text] of configs.entries()) {
    const file = await folder.write(`push-${index}.yaml`, text);
    const [port, admin] = [await freePort(), await freePort()];
    const args = ['--listen', `127.0.0.1:${port}`, '--admin-listen', `127.0.0.1:${admin}`, '--admin-key-file', key, '--config', file];
    const server = new Server(join(dirname(binary), 'windlass-push'), args, {});
    servers.push(Object.assign(server, { port, admin: `http://127.0.0.1:${admin}` }));
  }
  t.after(async () => {
    await Promise.all(servers.map((server) => server.kill()));
    if (process.env.WINDLASS_TEST_LOG) servers.forEach((server) => t.diagnostic(server.log));
  });
  await Promise.all(servers.map((server) => server.start()));
  /** Where the balancer sends connections: taken out of it, a process gets no more. */
  const ports = servers.map(({ port }) => port);
  const { origin } = await startBalancer(t, ports);
  return { servers, ports, origin, webSocketOrigin: origin.replace('http', 'ws') };
}

/** Whether a process says that it is ready. */
export async function isReady({ admin }) {
  return (await fetch(`${admin}/readyz`)).ok;
}

/** What all processes tell of themselves, as one of them shows it. */
export async function nodes({ admin }) {
  const { nodes } = await (await fetch(`${admin}/admin/push/nodes`)).json();
  return nodes;
}

/** Asks a process for its drain: `GET` reports, `POST` begins, `DELETE` takes it back. */
export async function drain(server, method, body) {
  const headers = { authorization: `Bearer ${ADMIN_KEY}` };
  const response = await fetch(`${server.admin}/admin/drain`, { method, headers, body: body && JSON.stringify(body) });
  if (!response.ok) throw new Error(`${method} /admin/drain: ${response.status} ${await response.text()}`);
  return response.json();
}
