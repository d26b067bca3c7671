// The stock centrifuge client for JavaScript, as its users write it in Node.

import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';

/** A connecting client, which ends with test `t`. `sockets` lists the WebSockets it has opened, for a test to cut, each with when. */
export function connect(t, server, options = {}) {
  const sockets = [];
  const client = new Centrifuge(`${server.webSocketOrigin}/connection/websocket`, {
    websocket: class extends WebSocket {
      constructor(...all) {
        super(...all);
        sockets.push(Object.assign(this, { begun: Date.now() }));
      }
    },
    minReconnectDelay: 50,
    maxReconnectDelay: 500,
    ...options,
  });
  t.after(() => client.disconnect());
  client.connect();
  return { client, sockets };
}
