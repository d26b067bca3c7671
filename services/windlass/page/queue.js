// Runs at most so many jobs at once, the others wait in order. A job has `run()`, which returns a promise.

export class Queue {
  #limit;
  #waiting = [];
  #running = new Set();

  constructor(limit) {
    this.#limit = limit;
  }

  /** `first` puts it before the others: the user has just asked for this one. */
  add(job, { first = false } = {}) {
    if (this.#waiting.includes(job)) return;
    if (first) this.#waiting.unshift(job);
    else this.#waiting.push(job);
    this.#pump();
  }

  remove(job) {
    this.#waiting = this.#waiting.filter((other) => other !== job);
  }

  #pump() {
    // A job that still winds down from its last run keeps its place until that has ended.
    let next;
    while (this.#running.size < this.#limit && (next = this.#waiting.findIndex((job) => !this.#running.has(job))) >= 0) {
      const [job] = this.#waiting.splice(next, 1);
      this.#running.add(job);
      Promise.resolve(job.run()).finally(() => {
        this.#running.delete(job);
        this.#pump();
      });
    }
  }
}
