// The speed of one transfer, over the last few seconds. Pure: times are arguments, in ms.

// Long enough to be calm, short enough to notice a change of network.
const WINDOW_MS = 5000;
// Before that the figure is mostly the size of the socket's buffer.
const SETTLE_MS = 800;

export class Meter {
  #samples = [];

  /** Forgets everything: a new request starts at another byte. */
  reset() {
    this.#samples = [];
  }

  /** `position` is the byte reached at `at`. */
  add(position, at) {
    this.#samples.push({ position, at });
    while (this.#samples.length > 2 && this.#samples[1].at < at - WINDOW_MS) this.#samples.shift();
  }

  /** Bytes per second, or `null` while there is too little to say. */
  speed(now) {
    const first = this.#samples[0];
    const last = this.#samples[this.#samples.length - 1];
    if (!first || last.at - first.at < SETTLE_MS) return null;
    // Measured up to now and not to the last sample: a stalled transfer slows down to zero.
    return ((last.position - first.position) * 1000) / Math.max(1, now - first.at);
  }
}
