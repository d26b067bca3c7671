// Two stock clients and one server: Uppy uploads by tus, centrifuge follows the task's channel.

import Uppy from '@uppy/core';
import Dashboard from '@uppy/dashboard';
import Tus from '@uppy/tus';
import { Centrifuge } from 'centrifuge';

import '@uppy/core/css/style.min.css';
import '@uppy/dashboard/css/style.min.css';
import './style.css';
import { Table } from './table.js';
import { taskOf } from './task.js';

// Another server: http://127.0.0.1:5173/?server=http://127.0.0.1:9000
const server = new URL(new URLSearchParams(location.search).get('server') ?? 'http://127.0.0.1:8080').origin;
const table = new Table(document);
document.getElementById('server').textContent = server;

const centrifuge = new Centrifuge(`${server.replace(/^http/, 'ws')}/connection/websocket`);
centrifuge.on('state', ({ newState }) => {
  document.getElementById('link').textContent = newState;
});
centrifuge.connect();

const uppy = new Uppy()
  .use(Dashboard, {
    target: '#dashboard',
    inline: true,
    width: '100%',
    height: 360,
    theme: 'auto',
    proudlyDisplayPoweredByUppy: false,
    showRemoveButtonAfterComplete: true,
  })
  .use(Tus, {
    endpoint: `${server}/files/`,
    limit: 3,
    // Long enough for a server that is restarted meanwhile.
    retryDelays: [500, 1000, 2000, 4000, 8000, 8000, 8000],
  });

uppy.on('upload-progress', (file, { bytesUploaded, bytesTotal }) => {
  table.sent(file, bytesTotal > 0 ? Math.floor((100 * bytesUploaded) / bytesTotal) : 0);
  follow(uppy.getFile(file.id));
});
uppy.on('upload-success', (file, { uploadURL }) => {
  table.sent(file, 100);
  follow({ ...file, tus: { uploadUrl: uploadURL } });
});
uppy.on('file-removed', (file) => {
  unfollow(file);
  table.remove(file);
});

/** Subscribes once the upload has a URL; the server's present value comes with the answer, then every newer one. */
function follow(file) {
  const task = taskOf(file?.tus?.uploadUrl);
  if (!task || table.taskOf(file) === task) return;
  unfollow(file);
  table.followed(file, task);
  const subscription = centrifuge.newSubscription(`task:${task}`);
  subscription.on('publication', ({ data }) => {
    table.stored(file, data.progress);
    // Nothing follows the last value.
    if (data.progress === 100) unfollow(file);
  });
  subscription.on('unsubscribed', ({ code, reason }) => {
    if (code !== 0) table.refused(file, reason);
  });
  subscription.subscribe();
}

function unfollow(file) {
  const subscription = centrifuge.getSubscription(`task:${table.taskOf(file)}`);
  if (!subscription) return;
  subscription.unsubscribe();
  centrifuge.removeSubscription(subscription);
}
