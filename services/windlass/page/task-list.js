// The caller's tasks on the server, kept fresh: the list is polled, `/ws` fills in what moves between two polls.

import { outageDelay } from "./retry.js";

const PAGE = 50;
const POLL_MS = 3000;
// Nobody looks at a hidden tab; its own uploads do not need the list.
const HIDDEN_POLL_MS = 30_000;

export class TaskList {
  /** Cursor of the next older page, or null. */
  next = null;
  /** Whether the server has answered at least once. */
  loaded = false;
  /** Why the last refresh failed, as tasks.js gave it; null when it did not. */
  failure = null;

  #tasks;
  #now;
  #changed;
  #byId = new Map();
  #movedAt = new Map();
  #timer = 0;
  #failures = 0;
  #refreshing = null;
  #morePages = false;

  /** `tasks` is tasks.js; `changed()` is called after each refresh. */
  constructor({ tasks, now, changed }) {
    this.#tasks = tasks;
    this.#now = now;
    this.#changed = changed;
  }

  /** Newest first (ids are UUIDv7, so equal times still have an order). */
  all() {
    return [...this.#byId.values()].sort((a, b) => b.createdAt - a.createdAt || (a.taskId < b.taskId ? 1 : -1));
  }

  get(taskId) {
    return this.#byId.get(taskId);
  }

  /** When its offset was last seen to move. */
  movedAt(taskId) {
    return this.#movedAt.get(taskId) ?? 0;
  }

  /** Keeps polling from now on. */
  async start() {
    clearTimeout(this.#timer);
    await this.refresh();
    const pause = globalThis.document?.hidden ? HIDDEN_POLL_MS : POLL_MS;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.start(), this.failure ? outageDelay(this.#failures, Math.random()) : pause);
  }

  /** Asks for the newest page once; two calls at a time share one request. */
  refresh() {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  async #refresh() {
    const answer = await this.#tasks.list({ limit: PAGE });
    if (!answer.ok) {
      this.failure = answer;
      this.#failures += 1;
    } else {
      this.failure = null;
      this.#failures = 0;
      this.loaded = true;
      this.#forgetMissing(answer);
      for (const task of answer.tasks) this.put(task);
      if (!this.#morePages) this.next = answer.next;
    }
    this.#changed();
  }

  /** Loads the next older page. */
  async more() {
    const answer = await this.#tasks.list({ limit: PAGE, after: this.next });
    if (!answer.ok) return answer;
    this.#morePages = true;
    this.next = answer.next;
    for (const task of answer.tasks) this.put(task);
    this.#changed();
    return answer;
  }

  /** A task as the server has just shown it. */
  put(task) {
    const known = this.#byId.get(task.taskId);
    if (!known || task.offset > known.offset || task.progress > known.progress) this.#moved(task.taskId);
    // The list may have been made before the last word of `/ws`: nothing leaves a final state, no offset goes back.
    if (known?.status === "completed" || known?.status === "failed") return;
    if (known) {
      task.offset = Math.max(task.offset, known.offset);
      task.progress = Math.max(task.progress, known.progress);
    }
    this.#byId.set(task.taskId, task);
  }

  /** From `/ws`. */
  progress(taskId, percent) {
    const task = this.#byId.get(taskId);
    if (!task || percent <= task.progress) return;
    this.#moved(taskId);
    task.progress = percent;
    if (task.length) task.offset = Math.max(task.offset, Math.ceil((percent * task.length) / 100));
    // Only a completed task has 100 percent. A paused one may still move a little: what was on its way is kept.
    if (percent === 100) task.status = "completed";
    else if (task.status === "pending") task.status = "uploading";
  }

  remove(taskId) {
    this.#byId.delete(taskId);
    this.#movedAt.delete(taskId);
  }

  // What is younger than the page's last task, and not on the page, has been deleted.
  #forgetMissing({ tasks, next }) {
    const listed = new Set(tasks.map((task) => task.taskId));
    const oldest = next === null ? -Infinity : Math.min(...tasks.map((task) => task.createdAt));
    for (const task of [...this.#byId.values()]) {
      if (task.createdAt > oldest && !listed.has(task.taskId)) this.remove(task.taskId);
    }
  }

  #moved(taskId) {
    this.#movedAt.set(taskId, this.#now());
  }
}
