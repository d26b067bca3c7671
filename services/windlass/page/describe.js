// What a row says and offers, from what is known of an upload or a task. Pure: no DOM, the clock is an argument.
//
// A row is `{ key, taskId, state, tone, icon, name, path, words, note, facts, bar, percent, acknowledged, sent, actions }`;
// `acknowledged` and `sent` are 0..1, an action is `{ id, label, icon?, quiet?, href?, slot? }`.

import { bytes, count, displayName, percent, rate, relativeTime, span, timeLeft } from "./format.js";

// A task that somebody else sends, without news for so long, is said to be waiting for its sender.
export const QUIET_MS = 15_000;

const PAUSE = { id: "pause", label: "Pause", icon: "pause", slot: "toggle" };
const RESUME = { id: "resume", label: "Resume", icon: "play", slot: "toggle" };
const CANCEL = { id: "cancel", label: "Cancel", icon: "close", slot: "end" };
const REMOVE = { id: "remove", label: "Remove from the list", icon: "close", slot: "end" };
const RETRY = { id: "resume", label: "Try again", slot: "main" };
const NOW = { id: "now", label: "Try now", slot: "main", quiet: true };

const UPLOADS = {
  queued: { tone: "idle", icon: "clock", words: "Waiting for its turn", actions: [PAUSE, CANCEL] },
  starting: { tone: "live", icon: "up", words: "Starting", actions: [PAUSE, CANCEL] },
  checking: { tone: "live", icon: "up", words: "Asking the server where to go on", actions: [PAUSE, CANCEL] },
  sending: { tone: "live", icon: "up", words: "Uploading", actions: [PAUSE, CANCEL] },
  finishing: { tone: "live", icon: "up", words: "Sent; the server is storing the rest", actions: [PAUSE, CANCEL] },
  retrying: { tone: "warn", icon: "wait", words: "Trying again", actions: [NOW, PAUSE, CANCEL] },
  offline: { tone: "warn", icon: "wait", words: "Waiting for the server", actions: [NOW, PAUSE, CANCEL] },
  paused: { tone: "idle", icon: "pause", words: "Paused", actions: [RESUME, CANCEL] },
  interrupted: { tone: "bad", icon: "alert", words: "Interrupted", actions: [RETRY, CANCEL] },
  stopped: { tone: "bad", icon: "alert", words: "Stopped", actions: [RETRY, CANCEL] },
  gone: {
    tone: "bad",
    icon: "alert",
    words: "The server no longer has this upload",
    actions: [{ id: "again", label: "Start again", slot: "main" }, REMOVE],
  },
  unreadable: {
    tone: "bad",
    icon: "alert",
    words: "The file cannot be read",
    actions: [{ id: "choose", label: "Choose it again", slot: "main" }, CANCEL],
  },
  elsewhere: {
    tone: "idle",
    icon: "tabs",
    words: "Another tab of this browser is uploading it",
    actions: [{ id: "resume", label: "Try here", slot: "main", quiet: true }, REMOVE],
  },
  cancelling: { tone: "idle", icon: "close", words: "Cancelling", actions: [] },
  cancelled: { tone: "idle", icon: "close", words: "Cancelled", actions: [] },
  completed: { tone: "ok", icon: "check", words: "Complete", actions: [REMOVE] },
};

/** A file of this tab. */
export function describeUpload(upload, now) {
  const known = UPLOADS[upload.state];
  const complete = upload.state === "completed";
  const size = upload.size;
  const moving = upload.state === "sending" || upload.state === "finishing";
  const whole = complete || upload.acknowledged === 0 || upload.state === "gone";
  const facts = [whole ? bytes(size) : `${bytes(upload.acknowledged)} of ${bytes(size)}`];
  const speed = upload.speed();
  if (speed !== null && speed > 0) {
    facts.push(rate(speed));
    const left = timeLeft((size - upload.sent) / speed);
    if (left) facts.push(left);
  }
  let words = known.words;
  if (upload.state === "retrying" || upload.state === "offline") {
    const seconds = Math.ceil((upload.retryAt - now) / 1000);
    if (seconds > 0) words += upload.state === "retrying" ? ` in ${seconds} s` : `; next try in ${seconds} s`;
  }
  return {
    key: upload,
    taskId: upload.taskId,
    state: upload.state,
    tone: known.tone,
    icon: known.icon,
    name: displayName(upload.name),
    path: upload.path ? displayName(upload.path) : "",
    words,
    note: upload.note,
    facts,
    bar: !complete && upload.state !== "gone",
    percent: percent(upload.acknowledged, size, complete),
    acknowledged: complete ? 1 : fraction(upload.acknowledged, size),
    sent: moving ? fraction(upload.sent, size) : 0,
    actions: complete ? [...download(upload.location), ...known.actions] : known.actions,
  };
}

/** An unfinished upload that this browser began, whose file must be chosen again. `task` may be unknown yet. */
export function describeRemembered(entry, task, { gone, note, now }) {
  const acknowledged = task?.offset ?? 0;
  const facts = [acknowledged > 0 ? `${bytes(acknowledged)} of ${bytes(entry.size)}` : bytes(entry.size)];
  if (!gone && task?.expiresAt) facts.push(`kept for ${span(task.expiresAt - now)}`);
  return {
    key: `remembered:${entry.taskId}`,
    taskId: entry.taskId,
    state: gone ? "gone" : "remembered",
    tone: gone ? "bad" : "idle",
    icon: gone ? "alert" : "file",
    name: displayName(entry.name),
    path: entry.path ? displayName(entry.path) : "",
    words: gone ? "The server no longer has this upload" : "Choose the file again to go on",
    note: note ?? "",
    facts,
    bar: !gone,
    percent: percent(acknowledged, entry.size, false),
    acknowledged: fraction(acknowledged, entry.size),
    sent: 0,
    actions: gone ? [REMOVE] : [{ id: "choose", label: "Choose the file", slot: "main" }, CANCEL],
  };
}

/** A task that somebody else sends or has sent. `location` is known if this browser created it. */
export function describeTask(task, { location, movedAt, note, now }) {
  const size = task.length;
  const complete = task.status === "completed";
  const quiet = task.status === "uploading" && now - movedAt > QUIET_MS;
  const facts = [];
  if (size === null || size === undefined) facts.push(`${bytes(task.offset)} so far`);
  else if (complete || task.offset === 0) facts.push(bytes(size));
  else facts.push(`${bytes(task.offset)} of ${bytes(size)}`);
  facts.push(relativeTime(task.createdAt, now));
  const [tone, icon, words, actions] = {
    pending: ["idle", "clock", "Not begun", []],
    uploading: quiet
      ? ["idle", "wait", "Unfinished; nothing is arriving", [PAUSE]]
      : ["live", "up", "Uploading elsewhere", [PAUSE]],
    paused: ["idle", "pause", "Paused", [RESUME]],
    completed: ["ok", "check", "Complete", download(location)],
    failed: ["bad", "alert", "Failed", []],
  }[task.status] ?? ["idle", "wait", String(task.status), []];
  return {
    key: task.taskId,
    taskId: task.taskId,
    state: task.status,
    tone,
    icon,
    name: displayName(task.name),
    path: "",
    words,
    note: note ?? "",
    facts,
    // Without a length there is nothing to be a part of.
    bar: !complete && task.status !== "failed" && typeof size === "number",
    percent: task.progress,
    acknowledged: complete ? 1 : size ? Math.max(task.progress / 100, fraction(task.offset, size)) : 0,
    sent: 0,
    actions,
  };
}

/** What has begun or waits for the user, then what waits for its turn, then what is complete (the latest first). */
export function inOrder(uploads) {
  const group = (upload) => (upload.state === "completed" ? 2 : upload.state === "queued" && !upload.taskId ? 1 : 0);
  // Of equal standing: the newest batch first, within a batch the order in which they are sent.
  const place = new Map(uploads.map((upload, index) => [upload, index]));
  return [...uploads].sort(
    (a, b) => group(a) - group(b) || b.completedAt - a.completedAt || b.batch - a.batch || place.get(a) - place.get(b),
  );
}

/** One line about all files of this tab, and the numbers for the page's title. */
export function summarize(uploads) {
  const groups = { live: 0, waiting: 0, queued: 0, paused: 0, attention: 0, complete: 0 };
  let size = 0;
  let acknowledged = 0;
  let speed = 0;
  for (const upload of uploads) {
    if (upload.state === "offline" || upload.state === "retrying") groups.waiting += 1;
    else if (upload.active) groups.live += 1;
    else if (upload.state === "queued") groups.queued += 1;
    else if (upload.state === "paused") groups.paused += 1;
    else if (upload.state === "completed") groups.complete += 1;
    else groups.attention += 1;
    size += upload.size;
    acknowledged += upload.state === "completed" ? upload.size : upload.acknowledged;
    speed += upload.speed() ?? 0;
  }
  const parts = [];
  if (groups.live) parts.push(`${groups.live} uploading`);
  if (groups.waiting) parts.push(`${groups.waiting} trying again`);
  if (groups.queued) parts.push(`${groups.queued} waiting`);
  if (groups.paused) parts.push(`${groups.paused} paused`);
  if (groups.attention) parts.push(count(groups.attention, "needs you", "need you"));
  if (groups.complete) parts.push(`${groups.complete} complete`);
  if (groups.live && uploads.length > 1 && speed > 0) parts.push(rate(speed));
  const unfinished = uploads.length - groups.complete;
  return { text: parts.join(" · "), percent: percent(acknowledged, size, unfinished === 0), unfinished, ...groups };
}

function download(location) {
  return location ? [{ id: "download", label: "Download", icon: "down", slot: "main", quiet: true, href: location }] : [];
}

function fraction(part, whole) {
  return whole > 0 ? Math.min(1, part / whole) : 0;
}
