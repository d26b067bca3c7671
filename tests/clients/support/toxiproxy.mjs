// toxiproxy between a client and the server: each test has a proxy of its own with the faults that it adds.

import { request } from './http.mjs';
import { Program, tool } from './program.mjs';
import { freePort } from './server.mjs';

/** A proxy in front of `origin` for test `t`. `origin` of the result is where clients connect. */
export async function startProxy(t, origin) {
  const { line } = await startProxies(t, { line: new URL(origin).host });
  return { ...line, origin: `http://${line.address}` };
}

/** One toxiproxy with a proxy in front of each `host:port`, by their names. */
export async function startProxies(t, upstreams) {
  const control = await freePort();
  await Program.start(t, tool('toxiproxy'), ['-host', '127.0.0.1', '-port', String(control)], control);
  const api = async (method, path, body) => {
    const headers = { 'Content-Type': 'application/json' };
    const answer = await request(method, `http://127.0.0.1:${control}${path}`, { headers, body: body && JSON.stringify(body) });
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
  };
  const proxies = {};
  for (const [name, upstream] of Object.entries(upstreams)) {
    const listen = `127.0.0.1:${await freePort()}`;
    await api('POST', '/proxies', { name, listen, upstream, enabled: true });
    proxies[name] = {
      address: listen,
      /** Adds a fault, also to the connections that are open. */
      add: ({ name: toxic, type, stream = 'upstream', toxicity = 1, attributes }) =>
        api('POST', `/proxies/${name}/toxics`, { name: toxic ?? `${type}-${stream}`, type, stream, toxicity, attributes }),
      remove: (toxic) => api('DELETE', `/proxies/${name}/toxics/${toxic}`),
      /** Cuts all connections and refuses new ones until `restore`. */
      cut: () => api('POST', `/proxies/${name}`, { enabled: false }),
      restore: () => api('POST', `/proxies/${name}`, { enabled: true }),
      /** Leads new connections elsewhere, and cuts those that are open. */
      lead: (elsewhere) => api('POST', `/proxies/${name}`, { upstream: elsewhere, enabled: true }),
    };
  }
  return proxies;
}
