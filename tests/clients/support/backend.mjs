// An application's backend: answers the proxies' calls by the path, and remembers them.

import { once } from 'node:events';
import { createServer } from 'node:http';

/**
 * Starts a backend for test `t`. `answers` maps a path without its slash to the answer, or to what makes it from the call's
 * body and headers. `calls(path)` are the bodies of the calls so far.
 */
export async function startBackend(t, answers) {
  const all = [];
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request.setEncoding('utf8')) text += chunk;
    const path = request.url.slice(1);
    const body = JSON.parse(text);
    all.push({ path, body });
    const answer = answers[path];
    response.end(JSON.stringify(typeof answer === 'function' ? answer(body, request.headers) : answer));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const origin = `http://127.0.0.1:${server.address().port}`;
  return {
    /** The proxy that calls this path. */
    at: (path, more = {}) => ({ endpoint: `${origin}/${path}`, timeout: '10s', ...more }),
    calls: (path) => all.filter((call) => call.path === path).map(({ body }) => body),
  };
}
