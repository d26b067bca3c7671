// toxiproxy between a client and the server: each test has a proxy of its own with the faults that it adds.

import { request } from './http.mjs';
import { Program, tool } from './program.mjs';
import { freePort } from './server.mjs';

/** A proxy in front of `origin` for test `t`. `origin` of the result is where clients connect. */
export async function startProxy(t, origin) {
  const [control, port] = [await freePort(), await freePort()];
  await Program.start(t, tool('toxiproxy'), ['-host', '127.0.0.1', '-port', String(control)], control);
  const api = async (method, path, body) => {
    const headers = { 'Content-Type': 'application/json' };
    const answer = await request(method, `http://127.0.0.1:${control}${path}`, { headers, body: body && JSON.stringify(body) });
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
  };
  const upstream = new URL(origin).host;
  await api('POST', '/proxies', { name: 'line', listen: `127.0.0.1:${port}`, upstream, enabled: true });
  return {
    origin: `http://127.0.0.1:${port}`,
    /** Adds a fault, also to the connections that are open. */
    add: ({ name, type, stream = 'upstream', toxicity = 1, attributes }) =>
      api('POST', '/proxies/line/toxics', { name: name ?? `${type}-${stream}`, type, stream, toxicity, attributes }),
    remove: (name) => api('DELETE', `/proxies/line/toxics/${name}`),
  };
}
