// Prints {"samples": {PATH: {domain, policy, rule, input}}} of all samples under policies/, for `opa test`.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const root = 'policies';
const samples = {};
for (const path of readdirSync(root, { recursive: true }).toSorted()) {
  const [domain, policy, folder, kind, file] = path.split('/');
  if (folder !== 'samples' || !file) continue;
  const rule = kind === 'denied' ? file.split('.')[0] : null;
  samples[path] = { domain, policy, rule, input: JSON.parse(readFileSync(join(root, path), 'utf8')) };
}
process.stdout.write(JSON.stringify({ samples }));
