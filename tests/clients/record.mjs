#!/usr/bin/env node
// Stock clients that upload and listen for as long as they are let, and what they met meanwhile (promises P1, P3, P4): the
// clients' own record, for tests that harm a platform which they did not start themselves, such as one on a cluster.
//
// Standard input takes lines: `begin NAME` opens a window, `end` closes it, `finish` lets uploads end and listeners catch up.
// Each is answered by a line of JSON on standard output, and so is that everything is on its way: `{"ready": true}`.
// The exit code is 0 if all that was promised was kept, 1 with the reasons on standard error if not.

import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { Clients } from './support/clients.mjs';

const { values } = parseArgs({
  options: {
    /** Origins, `http://host:port`. */
    upload: { type: 'string' },
    push: { type: 'string' },
    /** Who may upload and listen: a token. */
    token: { type: 'string' },
    /** Who may publish: a key of the push API. */
    'api-key': { type: 'string' },
    /** How many at once. */
    uploads: { type: 'string', default: '20' },
    listeners: { type: 'string', default: '100' },
    channels: { type: 'string', default: '10' },
    /** What an upload has, and what a client's line carries a second: bytes. */
    size: { type: 'string', default: String(8 * 1024 * 1024) },
    rate: { type: 'string', default: String(600 * 1024) },
  },
});
if (!values.upload || !values.push) throw new Error('--upload and --push are needed');

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const clients = await Clients.start({
  upload: values.upload,
  push: values.push,
  token: values.token,
  apiKey: values['api-key'],
  ...Object.fromEntries(['uploads', 'listeners', 'channels', 'size', 'rate'].map((name) => [name, Number(values[name])])),
});
await clients.areOnTheirWay();
say({ ready: true });

for await (const line of createInterface({ input: process.stdin })) {
  const [verb, ...rest] = line.trim().split(' ');
  if (verb === 'begin') say({ began: clients.begin(rest.join(' ')) });
  else if (verb === 'end') say(await clients.end());
  else if (verb === 'finish') break;
  else throw new Error(`nobody knows ${JSON.stringify(line)}: begin NAME, end, finish`);
}
const { broken, ...total } = await clients.finish();
say(total);
for (const line of broken) process.stderr.write(`${line}\n`);
process.exit(broken.length === 0 ? 0 : 1);
