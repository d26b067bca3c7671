// What this browser remembers of its uploads, so that they go on after a reload and can be downloaded later.
//
// One localStorage key a task: tabs never overwrite each other's entries. An entry is
// `{ taskId, location, fingerprint, path, name, size, lastModified, savedAt, finished }`.
// The location holds the right to write, so it stays in this browser.

const PREFIX = "windlass:upload:";

// About 400 bytes each; browsers allow 5 MB an origin.
const MOST_ENTRIES = 500;

/** The same file of the same age and size; its bytes are not read. */
export function fingerprint(file) {
  return `${encodeURIComponent(file.name)}|${file.size}|${file.lastModified}`;
}

export class ResumeStore {
  #storage;
  // Reading and parsing hundreds of keys for each draw and each dropped file would be felt.
  #entries = null;

  /** `storage` is a Storage; without one (private windows) nothing outlives the page. */
  constructor(storage) {
    this.#storage = storage ?? memoryStorage();
  }

  /** Newest first. */
  all() {
    if (this.#entries) return this.#entries;
    const entries = [];
    for (let i = 0; i < this.#storage.length; i += 1) {
      const key = this.#storage.key(i);
      if (!key?.startsWith(PREFIX)) continue;
      const entry = parse(this.#storage.getItem(key));
      if (entry) entries.push(entry);
    }
    this.#entries = entries.sort((a, b) => b.savedAt - a.savedAt);
    return this.#entries;
  }

  /** Another tab has changed something. */
  reread() {
    this.#entries = null;
  }

  get(taskId) {
    return parse(this.#storage.getItem(PREFIX + taskId));
  }

  /** The newest unfinished upload of this very file; one from the same folder first. `taken(taskId)` are left out. */
  find(file, path, taken = () => false) {
    const wanted = fingerprint(file);
    const found = this.all().filter((e) => !e.finished && e.fingerprint === wanted && !taken(e.taskId));
    return found.find((e) => e.path === path) ?? found.find((e) => !path || !e.path) ?? null;
  }

  save(entry) {
    this.#write(PREFIX + entry.taskId, JSON.stringify(entry));
    const entries = this.all();
    if (entries.length <= MOST_ENTRIES) return;
    // Finished ones first, then the oldest.
    const order = [...entries].sort((a, b) => Number(b.finished) - Number(a.finished) || a.savedAt - b.savedAt);
    for (const old of order.slice(0, entries.length - MOST_ENTRIES)) this.forget(old.taskId);
  }

  finish(taskId) {
    const entry = this.get(taskId);
    if (entry && !entry.finished) this.#write(PREFIX + taskId, JSON.stringify({ ...entry, finished: true }));
  }

  forget(taskId) {
    this.#entries = null;
    this.#storage.removeItem(PREFIX + taskId);
  }

  #write(key, value) {
    this.#entries = null;
    try {
      this.#storage.setItem(key, value);
    } catch {
      // The quota is full: the upload itself goes on, only a reload would not find it again.
    }
  }
}

function parse(text) {
  try {
    const entry = JSON.parse(text);
    // It becomes the address of requests and links.
    return typeof entry?.taskId === "string" && /^(\/|https?:)/.test(entry.location) ? entry : null;
  } catch {
    return null;
  }
}

function memoryStorage() {
  const map = new Map();
  return {
    get length() {
      return map.size;
    },
    key: (i) => [...map.keys()][i] ?? null,
    getItem: (key) => map.get(key) ?? null,
    setItem: (key, value) => void map.set(key, value),
    removeItem: (key) => void map.delete(key),
  };
}
