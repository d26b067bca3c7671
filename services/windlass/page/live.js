// The one `/ws` socket of the page: joins tasks, hands out their progress, and comes back by itself.

const RETRY_MIN_MS = 500;
const RETRY_CAP_MS = 10_000;
// How long the old socket is kept after `reconnect` while the new one's joins are answered.
const HANDOVER_MS = 3000;

/** Full jitter, so that many pages do not come back at once. `n` counts from 0. */
export function reconnectDelay(n, random) {
  return RETRY_MIN_MS + Math.round(random * Math.min(RETRY_CAP_MS, RETRY_MIN_MS * 2 ** Math.min(n, 10)));
}

export class Live {
  #url;
  #handlers;
  #joined = new Set();
  #socket = null;
  #next = null;
  #timer = 0;
  #tries = 0;

  /** `handlers`: `onprogress(taskId, percent)`, `onstate("live"|"connecting")`, `onrefused(taskId, code)`. */
  constructor(url, handlers) {
    this.#url = url;
    this.#handlers = handlers;
    globalThis.addEventListener?.("online", () => this.retryNow());
  }

  connect() {
    this.#handlers.onstate("connecting");
    this.#socket = this.#open();
  }

  /** Ends the wait for the next try. */
  retryNow() {
    if (this.#socket) return;
    clearTimeout(this.#timer);
    this.connect();
  }

  /** Follows exactly these tasks. */
  follow(taskIds) {
    const wanted = new Set(taskIds);
    for (const id of this.#joined) {
      if (wanted.has(id)) continue;
      this.#joined.delete(id);
      this.#send({ type: "leave", fileId: id });
    }
    for (const id of wanted) {
      if (this.#joined.has(id)) continue;
      this.#joined.add(id);
      this.#send({ type: "join", fileId: id });
    }
  }

  #send(message) {
    for (const socket of [this.#socket, this.#next]) {
      if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
    }
  }

  #open() {
    const socket = new WebSocket(this.#url);
    // Each join is answered by the task's present value or by an error.
    socket.unanswered = new Set();
    socket.onopen = () => {
      for (const id of this.#joined) {
        socket.unanswered.add(id);
        socket.send(JSON.stringify({ type: "join", fileId: id }));
      }
      if (socket === this.#next && socket.unanswered.size === 0) this.#handOver();
      if (socket !== this.#socket) return;
      this.#tries = 0;
      this.#handlers.onstate("live");
    };
    socket.onmessage = (event) => this.#receive(socket, event.data);
    socket.onclose = () => this.#closed(socket);
    return socket;
  }

  #receive(socket, data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (typeof message?.fileId === "string") {
      socket.unanswered.delete(message.fileId);
      if (message.type === "error") {
        // Nothing to follow there; it is not asked for again.
        this.#handlers.onrefused(message.fileId, message.code);
      } else if (typeof message.progress === "number") {
        this.#handlers.onprogress(message.fileId, message.progress);
      }
      if (socket === this.#next && socket.unanswered.size === 0) this.#handOver();
    } else if (message?.type === "reconnect" && socket === this.#socket && !this.#next) {
      this.#moveWithin(Number(message.withinSeconds) || 0);
    }
  }

  // Make before break: the new socket has all joins before the old one goes.
  #moveWithin(seconds) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#next) return;
      this.#next = this.#open();
      this.#timer = setTimeout(() => this.#handOver(), HANDOVER_MS);
    }, Math.random() * seconds * 800);
  }

  #handOver() {
    // A new socket that has not even opened leaves the old one in charge.
    if (this.#next?.readyState !== WebSocket.OPEN) return;
    clearTimeout(this.#timer);
    const old = this.#socket;
    this.#socket = this.#next;
    this.#next = null;
    old?.close(1000);
  }

  #closed(socket) {
    if (socket === this.#next) this.#next = null;
    if (socket !== this.#socket) return;
    this.#socket = this.#next;
    this.#next = null;
    if (this.#socket) {
      if (this.#socket.readyState === WebSocket.OPEN) this.#handlers.onstate("live");
      return;
    }
    this.#handlers.onstate("connecting");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.connect(), reconnectDelay(this.#tries, Math.random()));
    this.#tries += 1;
  }
}
