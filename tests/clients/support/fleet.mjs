// Three upload processes on one Redis and one bucket, both behind toxiproxy, with a balancer in front: what a region runs.

import { dirname, join } from 'node:path';
import { startBalancer } from './balancer.mjs';
import { ACCESS_KEY, BUCKET, SECRET_KEY, startBucket } from './bucket.mjs';
import { temporaryFolder } from './files.mjs';
import { Redis } from './redis.mjs';
import { Server, freePort } from './server.mjs';
import { startProxies } from './toxiproxy.mjs';

/** How many processes. */
const PROCESSES = 3;

/** Starts a fleet for test `t`; `upload` are lines of the `upload` section. */
export async function startFleet(t, { upload = [], processes = PROCESSES } = {}) {
  const [redis, bucket] = [await Redis.start(t), await startBucket(t)];
  const lines = await startProxies(t, { redis: redis.address, bucket: bucket.address });
  const folder = await temporaryFolder(t);
  const config = await folder.write('upload.yaml', configuration(lines, upload));
  const ports = [];
  for (let index = 0; index < processes; index += 1) ports.push(await freePort());
  const servers = ports.map((port) => process_(folder, config, port));
  t.after(async () => {
    await Promise.all(servers.map((server) => server.kill()));
    if (process.env.WINDLASS_TEST_LOG) servers.forEach((server) => t.diagnostic(server.log));
  });
  await Promise.all(servers.map((server) => server.start()));
  const balancer = await startBalancer(t, ports);
  return { origin: balancer.origin, servers, redis, bucket, lines };
}

function process_(folder, config, port) {
  const binary = process.env.WINDLASS_BIN;
  if (!binary) throw new Error('WINDLASS_BIN must name the windlass binary; `tests/run clients` builds and sets it');
  const args = ['--listen', `127.0.0.1:${port}`, '--data-dir', join(folder.path, `data-${port}`), '--config', config];
  const environment = { AWS_ACCESS_KEY_ID: ACCESS_KEY, AWS_SECRET_ACCESS_KEY: SECRET_KEY };
  return new Server(join(dirname(binary), 'windlass-upload'), args, environment);
}

function configuration(lines, upload) {
  return [
    'store:',
    '  redis:',
    `    url: redis://${lines.redis.address}`,
    'storage:',
    '  s3:',
    `    bucket: ${BUCKET}`,
    `    endpoint: http://${lines.bucket.address}`,
    '    region: us-east-1',
    '    addressing: path',
    'upload:',
    '  lifetime: 1h',
    ...upload.map((line) => `  ${line}`),
    '',
  ].join('\n');
}
