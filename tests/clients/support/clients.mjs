// A crowd of stock clients against a platform that somebody else runs, with a record of what they met in windows of time.

import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { sha256 } from './files.mjs';
import { SlowLine } from './gate.mjs';
import { downloadedSha256 } from './http.mjs';
import { Listener, Publisher, peak } from './numbers.mjs';
import { brokenBy, stackThrough, startUpload, watched } from './tus.mjs';
import { until } from './wait.mjs';

/** Milliseconds that uploads and listeners may take to be on their way, or to end: a cluster on two cores is slow. */
const PATIENCE = 180_000;
/** Milliseconds between tries of an upload: always soon again, and at an end only after minutes without any success. */
const DELAYS = Array.from({ length: 200 }, (_, index) => Math.min(100 * 2 ** index, 2_000));

/** What clients met in a window of time. */
class Window {
  errors = 0;
  restarts = 0;
  told = 0;
  completed = 0;
  begun = Date.now();
}

/** Uploads without end, one after another in each place, and listeners of numbered publications. */
export class Clients {
  /** Why a promise was not kept, in sentences. */
  #broken = [];
  #window = new Window();
  #ended = false;
  #endings = [];
  #completed = 0;

  /** Starts them; the platform is told by its origins. */
  static async start(settings) {
    const clients = new Clients();
    clients.settings = settings;
    const t = { after: (end) => clients.#endings.push(end) };
    clients.fleet = {
      origin: settings.push,
      webSocketOrigin: settings.push.replace('http', 'ws'),
      apiKey: settings.apiKey,
      token: settings.token,
    };
    clients.channels = Array.from({ length: settings.channels }, (_, index) => new Publisher(t, clients.fleet, `record-${index}`));
    clients.listeners = Array.from(
      { length: settings.listeners },
      (_, index) => new Listener(t, clients.fleet, clients.channels[index % clients.channels.length]),
    );
    for (const listener of clients.listeners) {
      listener.client.on('disconnected', ({ code, reason }) => {
        if (!clients.#ended) clients.#fail(`${listener.describe()}: disconnected for good: ${code} ${reason}`);
      });
    }
    const content = randomBytes(settings.size);
    clients.content = { data: content, sha256: sha256(content) };
    clients.places = Array.from({ length: settings.uploads }, () => ({ shown: 0, completed: 0, moved: Date.now(), longest: 0 }));
    return clients;
  }

  /** Begins, and waits until each listener is subscribed and each upload has moved. */
  async areOnTheirWay() {
    await Promise.all(this.listeners.map(({ subscription }) => subscription.ready(PATIENCE)));
    this.publishing = this.channels.map((channel) => channel.run());
    this.uploading = this.places.map((place) => this.#uploadOnAndOn(place));
    await until('every upload moves', () => this.places.every(({ shown }) => shown > 0), PATIENCE);
    await until('every listener hears', () => this.listeners.every(({ last }) => last > 0), PATIENCE);
  }

  /** Opens a window. */
  begin(name) {
    this.#window = Object.assign(new Window(), {
      name,
      told: this.#told(),
      completed: this.#completed,
    });
    this.listeners.forEach((listener) => listener.begin());
    for (const place of this.places) Object.assign(place, { moved: Date.now(), longest: 0 });
    return name;
  }

  /** Waits until everybody goes on as before, closes the window and answers what was met in it. */
  async end() {
    const marks = new Map(this.channels.map((channel) => [channel, channel.acknowledged + 2]));
    const moved = this.places.map(({ shown, completed }) => [shown, completed]);
    await until('everybody hears again', () => this.listeners.every(({ channel, last }) => last >= marks.get(channel)), PATIENCE);
    const goesOn = ({ shown, completed }, index) => completed > moved[index][1] || shown > moved[index][0];
    await until('every upload moves again', () => this.places.every(goesOn), PATIENCE);
    const window = this.#window;
    const since = window.begun;
    const opened = this.listeners.flatMap(({ sockets }) => sockets.map(({ begun }) => begun)).filter((begun) => begun >= since);
    return {
      name: window.name,
      milliseconds: Date.now() - since,
      errors: window.errors,
      restarts: window.restarts,
      longestStallMs: Math.max(0, ...this.places.map(({ longest }) => longest), ...this.listeners.map(({ longest }) => longest)),
      peakReconnectRate: peak(opened),
      reconnects: opened.length,
      unrecovered: this.#told() - window.told,
      completed: this.#completed - window.completed,
    };
  }

  /** Lets uploads come to their end and listeners hear the last number. */
  async finish() {
    this.#ended = true;
    await Promise.all(this.uploading);
    this.channels.forEach((channel) => (channel.ended = true));
    await Promise.all(this.publishing);
    await until('the last number everywhere', () => this.listeners.every(({ channel, last }) => last === channel.acknowledged), PATIENCE);
    this.#broken.push(...this.listeners.flatMap(({ wrong }) => wrong));
    const published = this.channels.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
    for (const end of this.#endings) await end();
    return { finished: true, completed: this.#completed, published, unrecovered: this.#told(), broken: this.#broken };
  }

  async #uploadOnAndOn(place) {
    while (!this.#ended) {
      place.shown = 0;
      await this.#uploadOnce(place);
    }
  }

  async #uploadOnce(place) {
    const { upload, rate } = this.settings;
    const record = watched();
    const client = startUpload({ origin: upload }, this.content, {
      ...record,
      headers: this.#headers(),
      httpStack: stackThrough(new SlowLine(rate)),
      chunkSize: Infinity,
      retryDelays: DELAYS,
      onProgress: (sent) => {
        const now = Date.now();
        place.longest = Math.max(place.longest, now - place.moved);
        place.moved = now;
        place.shown = sent;
      },
    });
    try {
      const url = await client.done;
      const broken = brokenBy(client);
      if (broken) {
        this.#window.restarts += 1;
        this.#broken.push(broken);
      }
      const stored = await this.#read(url);
      if (stored !== this.content.sha256) this.#broken.push(`${url}: other bytes came back than were sent`);
      this.#completed += 1;
      place.completed += 1;
    } catch (error) {
      this.#fail(`an upload was given up: ${error.message}`);
      // What is refused for good would be tried again without end.
      await pause(1_000);
    }
  }

  /** Reads an upload back, also while something is harmed: whoever reads tries again. */
  async #read(url) {
    return until('an upload read back', () => downloadedSha256(url, { headers: this.#headers() }), PATIENCE);
  }

  #headers() {
    const { token } = this.settings;
    return token ? { Authorization: `Bearer ${token}` } : {};
  }

  #fail(sentence) {
    this.#window.errors += 1;
    this.#broken.push(sentence);
  }

  #told() {
    return this.listeners.reduce((sum, { told }) => sum + told, 0);
  }
}
