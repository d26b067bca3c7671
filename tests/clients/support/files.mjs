// Files with random content and their SHA-256, in folders that go with their test.

import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const KIB = 1024;
export const MIB = 1024 * KIB;

/** A folder that is removed when test `t` ends. */
export async function temporaryFolder(t) {
  const path = await mkdtemp(join(tmpdir(), 'windlass-clients-'));
  t.after(() => rm(path, { recursive: true, force: true, maxRetries: 5 }));
  return {
    path,
    async write(name, content) {
      const file = join(path, name);
      await writeFile(file, content);
      return file;
    },
  };
}

/** A file of `size` random bytes: no server can answer with the right ones unless it kept them. */
export async function randomFile(t, size, name = 'film.bin') {
  const folder = await temporaryFolder(t);
  const path = join(folder.path, name);
  const hash = createHash('sha256');
  const file = await open(path, 'wx');
  for (let left = size; left > 0; ) {
    const block = randomBytes(Math.min(left, 4 * MIB));
    hash.update(block);
    await file.write(block);
    left -= block.length;
  }
  await file.close();
  return { path, name, size, sha256: hash.digest('hex') };
}

export function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}
