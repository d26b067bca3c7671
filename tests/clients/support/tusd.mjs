// A real tusd, started as its users start it.

import { mkdir, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryFolder } from './files.mjs';
import { Program, tool } from './program.mjs';
import { freePort } from './server.mjs';

/** tusd's upload directory, and the port that tusd and Windlass have in turn. */
export class Place {
  static async make(t) {
    const place = new Place();
    place.t = t;
    place.directory = join((await temporaryFolder(t)).path, 'data');
    await mkdir(place.directory);
    place.port = await freePort();
    return place;
  }

  get origin() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Windlass' configuration. */
  get config() {
    return `upload:\n  checkpoint: 50ms\n  tusd:\n    directory: ${this.directory}\n`;
  }

  /** Starts tusd here; `end` of the result ends it. */
  tusd() {
    const args = ['-host', '127.0.0.1', '-port', String(this.port), '-upload-dir', this.directory];
    return Program.start(this.t, tool('tusd'), args, this.port);
  }

  /** All its uploads' files with their content. */
  async files() {
    const names = (await readdir(this.directory)).filter((name) => !/\.(lock|stop)$/.test(name)).sort();
    const read = async (name) => [name, (await readFile(join(this.directory, name))).toString('base64')];
    return Object.fromEntries(await Promise.all(names.map(read)));
  }
}
