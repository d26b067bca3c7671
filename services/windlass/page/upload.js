// One file's way to the server: what it is doing, and what it does next. No DOM; the requests are passed in.
//
//   queued → starting → checking → sending → finishing → completed
//                          ↑  retrying, offline  ↓
//   paused, interrupted, stopped, gone, unreadable, elsewhere: waits for the user, in no queue
//
// `run()` is one turn in the queue: it returns when the upload is complete or waits for the user.

import { Meter } from "./meter.js";
import { decide, outageDelay, words } from "./retry.js";
import { fingerprint } from "./resume.js";

export class Upload {
  file;
  name;
  path;
  size;
  state = "queued";
  /** The server's words or ours about the state, as sentences; may be empty. */
  note = "";
  taskId = null;
  location = null;
  /** Bytes the server has acknowledged; never decreases while the task is the same. */
  acknowledged = 0;
  /** Bytes the browser has handed to the network. */
  sent = 0;
  /** When the next try is due, in `retrying` and `offline`. */
  retryAt = 0;
  /** Counts what was added together; later batches have higher numbers. */
  batch;
  /** Unix ms, 0 before. */
  completedAt = 0;

  #deps;
  #meter = new Meter();
  #abort = null;
  #creating = null;
  #telling = null;
  #release = null;
  #append = null;
  #tellResume = false;
  #seenPaused = false;
  #lookFirst = false;
  #wake = null;

  /**
   * `deps`: `tus` (tus.js), `tasks` (tasks.js), `claim(taskId)` and `slot(signal)` (claims.js), `store` (a ResumeStore),
   * `changed(upload)`, `random()`, `now()`. `entry` is what the store remembers of this file, if anything.
   */
  constructor({ file, path = "", entry = null, batch = 0 }, deps) {
    this.file = file;
    this.name = file.name;
    this.path = path;
    this.size = file.size;
    this.fingerprint = fingerprint(file);
    this.#deps = deps;
    this.batch = batch;
    if (entry) {
      this.taskId = entry.taskId;
      this.location = entry.location;
    }
  }

  get active() {
    return ["starting", "checking", "sending", "finishing", "retrying", "offline"].includes(this.state);
  }

  get settled() {
    return this.state === "completed" || this.state === "cancelled";
  }

  speed() {
    return this.state === "sending" ? this.#meter.speed(this.#deps.now()) : null;
  }

  /** One turn in the queue. */
  async run() {
    if (this.state !== "queued") return;
    const controller = new AbortController();
    this.#abort = controller;
    let giveBack;
    try {
      giveBack = await this.#deps.slot(controller.signal);
      await this.#go(controller.signal);
    } catch (error) {
      // Whoever aborted the turn has already said why.
      if (!controller.signal.aborted) {
        console.error(error);
        this.#set("interrupted", "Something went wrong in this page.");
      }
    } finally {
      giveBack?.();
      if (this.#abort === controller) this.#abort = null;
      this.#append = null;
    }
  }

  /** From `/ws`: the server has at least this many percent. */
  acknowledgePercent(percent) {
    if (!(percent >= 0 && percent <= 100)) return;
    this.acknowledgeOffset(Math.ceil((percent * this.size) / 100));
  }

  /** From the list of tasks: all there is where WebSockets do not get through. */
  acknowledgeOffset(offset) {
    if (this.state === "completed" || offset > this.size) return;
    if (offset > this.acknowledged) this.#append?.touch();
    this.#acknowledge(offset);
    this.#deps.changed(this);
  }

  /**
   * The status as the server lists it. A task that this tab had paused, or seen paused, and that somebody has resumed
   * elsewhere goes on here: this tab has the file. Only a list that said `paused` before counts: one asked for before
   * the pause may arrive after it. Returns whether it should be queued.
   */
  observeStatus(status) {
    if (this.state !== "paused") return false;
    if (status === "paused") this.#seenPaused = true;
    if (status !== "uploading" || !this.#seenPaused || this.#telling) return false;
    this.#set("queued");
    return true;
  }

  /** Stops sending at once, then tells the server. */
  async pause() {
    if (this.settled || this.state === "cancelling") return;
    this.#stop("paused");
    if (!this.taskId) return;
    const answer = await this.#tell(this.#deps.tasks.pause);
    if (this.state !== "paused" || answer.ok) return;
    // `pending` cannot be paused and need not be; the last byte may also have been faster than the click.
    if (answer.code === "illegal_transition") await this.#checkCompleted();
    else this.#set("paused", "The server could not be told.");
  }

  /** The user wants it to go on; the caller puts it into the queue. */
  resume() {
    this.#tellResume = this.state === "paused" && this.taskId !== null;
    this.#set("queued");
  }

  /** Another file object for the same upload (the first could not be read any more). */
  replaceFile(file) {
    this.file = file;
    this.#set("queued");
  }

  /** Forgets the task: a new one is created, from the first byte. Only on the user's word. */
  startAgain() {
    if (this.taskId) this.#deps.store.forget(this.taskId);
    this.#letGo();
    this.taskId = null;
    this.location = null;
    this.acknowledged = 0;
    this.sent = 0;
    this.#set("queued");
  }

  /** Ends the wait for the next try. */
  retryNow() {
    this.#wake?.();
  }

  /** Deletes it on the server. Returns whether it is gone. */
  async cancel() {
    // It may have become complete while the user was asked.
    if (this.settled) return this.state === "cancelled";
    this.#stop("cancelling");
    await this.#creating;
    await this.#telling;
    if (this.location) {
      const answer = await this.#deps.tus.terminate(this.location);
      if (!answer.ok) {
        this.#set("interrupted", `It could not be cancelled. ${words(answer)}`);
        return false;
      }
      this.#deps.store.forget(this.taskId);
    }
    this.#letGo();
    this.#set("cancelled");
    return true;
  }

  async #go(signal) {
    let failuresInARow = 0;
    let outages = 0;
    let before = this.acknowledged;
    await this.#telling;
    signal.throwIfAborted();
    if (this.#tellResume) {
      this.#tellResume = false;
      // Refused or lost: the append itself resumes the task as well.
      await this.#tell(this.#deps.tasks.resume);
      signal.throwIfAborted();
    }
    this.#seenPaused = false;
    for (;;) {
      const failure = await this.#attempt(signal);
      if (!failure) return;
      signal.throwIfAborted();
      if (this.acknowledged > before) failuresInARow = 0;
      before = this.acknowledged;

      const decision = decide(failure, failuresInARow);
      if (decision.do === "outage") {
        this.retryAt = this.#deps.now() + outageDelay(outages, this.#deps.random());
        outages += 1;
        this.#set("offline");
        await this.#sleepUntilRetry(signal);
        continue;
      }
      outages = 0;
      if (decision.do !== "retry") return this.#settle(decision, failure);
      failuresInARow += 1;
      this.#lookFirst = true;
      if (failure.kind === "network" && !(await this.#readable(signal))) {
        return this.#set("unreadable", "The file was changed, moved or deleted, so it cannot be read any more.");
      }
      this.retryAt = this.#deps.now() + decision.afterMs;
      this.#set("retrying", words(failure));
      await this.#sleepUntilRetry(signal);
    }
  }

  #settle(decision, failure) {
    switch (decision.do) {
      case "paused":
        return this.#set("paused", "Somebody paused it elsewhere.");
      case "gone":
        return this.#set("gone", failure.detail ?? "");
      case "interrupt":
        return this.#set("interrupted", words(failure));
      default:
        return this.#set("stopped", words(failure));
    }
  }

  /** Creates or asks for the offset, then appends until all is there. Returns a failure, or nothing when settled. */
  async #attempt(signal) {
    let offset = 0;
    if (this.location) {
      if (!(await this.#claimed(signal))) return this.#set("elsewhere");
      this.#set("checking");
      const [answer, paused] = await Promise.all([this.#deps.tus.head(this.location, signal), this.#pausedElsewhere(signal)]);
      signal.throwIfAborted();
      if (!answer.ok) return answer;
      if ((answer.length !== null && answer.length !== this.size) || answer.offset > this.size) {
        return { during: "head", kind: "nonsense", detail: "The server has another file under this name." };
      }
      this.#lookFirst = false;
      this.#acknowledge(answer.offset);
      if (paused && answer.offset < this.size) return this.#settle({ do: "paused" });
      offset = answer.offset;
      if (offset === this.size) return this.#complete();
    } else {
      this.#set("starting");
      const answer = await unlessAborted(this.#create(), signal);
      if (!answer.ok) return answer;
      if (this.size === 0) return this.#complete();
    }
    return this.#send(offset, signal);
  }

  async #send(from, signal) {
    for (let offset = from; ; ) {
      this.#meter.reset();
      this.sent = offset;
      this.#set("sending");
      this.#append = this.#deps.tus.append(this.location, this.file, offset, { signal, onsent: (sent) => this.#progress(sent) });
      const answer = await this.#append.done;
      this.#append = null;
      signal.throwIfAborted();
      if (!answer.ok) return answer;
      this.#acknowledge(answer.offset);
      if (answer.offset >= this.size) return this.#complete();
      // A server may take less than was offered, but it must take something.
      if (answer.offset <= offset) return { during: "patch", kind: "status", status: 409 };
      offset = answer.offset;
    }
  }

  #create() {
    this.#creating ??= this.#deps.tus
      .create(this.file, this.path)
      .then(async (answer) => {
        if (!answer.ok) return answer;
        this.location = answer.location;
        this.taskId = answer.taskId;
        this.#deps.store.save({
          taskId: this.taskId,
          location: this.location,
          fingerprint: this.fingerprint,
          path: this.path,
          name: this.name,
          size: this.size,
          lastModified: this.file.lastModified,
          savedAt: this.#deps.now(),
          finished: false,
        });
        this.#release = await this.#deps.claim(this.taskId);
        return answer;
      })
      .finally(() => {
        this.#creating = null;
      });
    return this.#creating;
  }

  async #claimed(signal) {
    this.#release ??= await this.#deps.claim(this.taskId);
    signal.throwIfAborted();
    return this.#release !== null;
  }

  // One after the other: a pause must not overtake the resume before it on another connection.
  #tell(verb) {
    const before = this.#telling;
    const telling = (async () => {
      await before;
      return verb(this.taskId);
    })();
    this.#telling = telling;
    return telling.finally(() => {
      if (this.#telling === telling) this.#telling = null;
    });
  }

  #letGo() {
    this.#release?.();
    this.#release = null;
  }

  // After a broken PATCH only: its answer "paused" may have been lost with the connection, and an append would resume.
  async #pausedElsewhere(signal) {
    if (!this.#lookFirst) return false;
    const answer = await this.#deps.tasks.look(this.taskId, signal);
    return answer.ok && answer.task.status === "paused";
  }

  async #checkCompleted() {
    const answer = await this.#deps.tasks.look(this.taskId);
    if (answer.ok && answer.task.status === "completed" && this.state === "paused") this.#complete();
  }

  async #readable(signal) {
    try {
      await this.file.slice(0, 1).arrayBuffer();
      return true;
    } catch {
      signal.throwIfAborted();
      return false;
    }
  }

  #progress(sent) {
    this.sent = sent;
    this.#meter.add(sent, this.#deps.now());
    if (sent >= this.size && this.state === "sending") this.#set("finishing");
    else this.#deps.changed(this);
  }

  #acknowledge(offset) {
    if (offset <= this.acknowledged) return;
    this.acknowledged = offset;
    this.sent = Math.max(this.sent, offset);
  }

  #complete() {
    this.acknowledged = this.size;
    this.sent = this.size;
    this.completedAt = this.#deps.now();
    this.#deps.store.finish(this.taskId);
    this.#letGo();
    this.#set("completed");
  }

  #stop(state) {
    this.#set(state);
    this.#abort?.abort();
    this.sent = this.acknowledged;
  }

  #sleepUntilRetry(signal) {
    return new Promise((resolve, reject) => {
      const end = () => {
        clearTimeout(timer);
        this.#wake = null;
        signal.removeEventListener("abort", end);
        if (signal.aborted) reject(signal.reason);
        else resolve();
      };
      const timer = setTimeout(end, Math.max(0, this.retryAt - this.#deps.now()));
      this.#wake = end;
      signal.addEventListener("abort", end);
    });
  }

  #set(state, note = "") {
    this.state = state;
    this.note = note;
    this.#deps.changed(this);
  }
}

function unlessAborted(promise, signal) {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    promise.then(resolve, reject);
  });
}
