// A balancer of TCP connections, as a Kubernetes Service is one: each connection goes to the next process that accepts
// it, and ends when one of its ends does. It knows no HTTP.

import net from 'node:net';

/** Starts a balancer over ports for test `t`; `origin` is where clients connect. */
export async function startBalancer(t, ports) {
  let turn = 0;
  const open = new Set();
  const server = net.createServer({ allowHalfOpen: true }, (client) => {
    open.add(client);
    client.once('close', () => open.delete(client));
    client.on('error', () => client.destroy());
    connect(ports, turn++, (origin) => {
      if (!origin) return client.resetAndDestroy();
      origin.on('error', () => client.resetAndDestroy());
      client.once('close', () => origin.destroy());
      client.pipe(origin).pipe(client);
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    open.forEach((client) => client.destroy());
    return new Promise((resolve) => server.close(resolve));
  });
  return { origin: `http://127.0.0.1:${server.address().port}` };
}

/** Dials from the `turn`-th port on until somebody accepts; answers nobody when all refuse. */
function connect(ports, turn, done, left = ports.length) {
  if (left === 0) return done();
  const socket = net.connect({ port: ports[turn % ports.length], host: '127.0.0.1', allowHalfOpen: true });
  const refused = () => connect(ports, turn + 1, done, left - 1);
  socket.once('error', refused);
  socket.once('connect', () => {
    socket.off('error', refused);
    done(socket);
  });
}
