// `node tus-put.mjs ORIGIN FILE`: an upload by tus-js-client, logged in by WINDLASS_TOKEN. Prints `TASK<tab>FILE` as `windlass put` does
// when it is whole; what was sent and answered goes to stderr.

import { startUpload } from './tus.mjs';

const [origin, path] = process.argv.slice(2);
const { done } = startUpload({ origin }, { path }, {
  // The SDK's own, and more of the last for a machine that is slow to hear of a death.
  retryDelays: [0, 1000, 3000, 5000, ...Array(10).fill(5000)],
  headers: { Authorization: `Bearer ${process.env.WINDLASS_TOKEN}` },
  onAfterResponse: (request, answer) => {
    const words = answer.getStatus() < 400 ? '' : answer.getBody();
    console.error(`${request.getMethod()} ${answer.getStatus()} ${words}`);
  },
});
const [, task] = /\/files\/[^/]+\/([^/]+)/.exec(await done);
console.log(`${task}\t${path}`);
