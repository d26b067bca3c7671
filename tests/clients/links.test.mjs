// Signed links as docs/uploading.md tells a back end to make them, used by the stock tus-js-client.

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { MIB, randomFile, temporaryFolder } from './support/files.mjs';
import { downloadedSha256 } from './support/http.mjs';
import { startServer } from './support/server.mjs';
import { startUpload } from './support/tus.mjs';
import { within } from './support/wait.mjs';

const SECRET = 'an-example-secret-of-at-least-32-bytes';
const PAGE = new URL('../../docs/uploading.md', import.meta.url);

/** The signer of the document, as somebody would copy it. */
async function documentedSigner(folder) {
  const page = await readFile(PAGE, 'utf8');
  const snippet = page.match(/```js\n(import \{ createHmac \}[^]*?)```/)[1];
  const path = join(folder.path, 'signer.mjs');
  await writeFile(path, snippet);
  return import(pathToFileURL(path));
}

test('the signer of the document makes links that tus-js-client uploads by', async (t) => {
  const folder = await temporaryFolder(t);
  const { uploadLink } = await documentedSigner(folder);
  const target = (await readFile(PAGE, 'utf8')).match(/^target +(\S+)$/m)[1];
  const made = uploadLink(SECRET, { sub: 'ann', exp: 1_900_000_000, tenant: 'acme', max: 104_857_600, id: 'order-4711' });
  const parameters = (text) => Object.fromEntries(new URL(text, 'http://localhost').searchParams);
  assert.deepEqual(parameters(made), parameters(target), 'the example that is to be compared with');

  const links = await folder.write('links', SECRET);
  const tokens = await folder.write('tokens', `another-${SECRET}`);
  const server = await startServer(t, { config: `auth: { hs256SecretFile: ${tokens}, linkSecretFile: ${links} }\n` });
  const exp = Math.floor(Date.now() / 1000) + 600;
  const file = await randomFile(t, 5 * MIB);
  const endpoint = server.origin + uploadLink(SECRET, { sub: 'ann lee', exp, max: file.size });
  const upload = startUpload(server, file, { endpoint });
  const url = await within('the upload', upload.done);
  assert.equal(await downloadedSha256(url), file.sha256);

  const larger = await randomFile(t, file.size + 1);
  const refused = startUpload(server, larger, { endpoint: server.origin + uploadLink(SECRET, { sub: 'ann', exp, max: 10 }) });
  await assert.rejects(within('the refusal', refused.done), /413/);
});
