// The page of `windlass dev`: puts the parts together. Files come in (drop.js), each becomes an upload (upload.js) in a
// queue; the server's tasks (task-list.js) and what this browser remembers (resume.js) fill the other two groups. Every
// change ends in `render`, which describes (describe.js) and draws (row.js) all rows.
//
// Nothing here puts data into the page other than as text.

import { claim, claimed, slot } from "./claims.js";
import { confirmCancel } from "./confirm.js";
import { describeRemembered, describeTask, describeUpload, inOrder, summarize } from "./describe.js";
import { MOST_FILES, acceptDrops, fromInput } from "./drop.js";
import { count, displayName } from "./format.js";
import { Live } from "./live.js";
import { Queue } from "./queue.js";
import { ResumeStore, fingerprint } from "./resume.js";
import { words } from "./retry.js";
import { Rows } from "./row.js";
import { TaskList } from "./task-list.js";
import * as tasks from "./tasks.js";
import * as tus from "./tus.js";
import { Upload } from "./upload.js";
import { Voice } from "./voice.js";

// In all tabs together. A browser opens six connections to a server over HTTP/1.1; the other three are for the list,
// pause and cancel.
const UPLOADS_AT_ONCE = 3;
// Tasks followed over /ws, this tab's own first; the rest is refreshed with the list. The server's bound is 128.
const MOST_FOLLOWED = 100;
// A join that the server could not take just now is asked again after so long; one for another reason is not.
const REFUSED_MS = 30_000;
const TEMPORARY = new Set(["unavailable", "limit_exceeded"]);
// Calm for the eye and for the processor; the bars move between two draws by a CSS transition.
const DRAW_MS = 250;
// What the server said to a click on another's task; the list will show the rest.
const NOTE_MS = 10_000;

const SPOKEN = {
  completed: "is complete",
  paused: "is paused",
  interrupted: "was interrupted",
  stopped: "has stopped",
  gone: "is no longer on the server",
  unreadable: "cannot be read any more",
  offline: "waits for the server",
  elsewhere: "is being uploaded by another tab",
};

const byId = (id) => document.getElementById(id);
const now = () => Date.now();

const store = new ResumeStore(storage());
const queue = new Queue(UPLOADS_AT_ONCE);
const voice = new Voice(document);
const taskList = new TaskList({ tasks, now, changed: onTasks });
const live = new Live(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`, {
  onprogress,
  onstate,
  onrefused: (taskId, code) => refused.set(taskId, TEMPORARY.has(code) ? now() + REFUSED_MS : Infinity),
});

let uploads = [];
let batches = 0;
let elsewhere = new Set();
let linkState = "connecting";
let drawTimer = 0;
let choosingFor = null;
const refused = new Map();
const asked = new Set();
const gone = new Set();
const notes = new Map();
const spoken = new WeakMap();

const template = byId("row");
const groups = {
  uploads: new Rows(byId("uploads").querySelector(".rows"), template, onUploadAction),
  remembered: new Rows(byId("remembered").querySelector(".rows"), template, onRememberedAction),
  tasks: new Rows(byId("tasks").querySelector(".rows"), template, onTaskAction),
};

const dependencies = {
  tus,
  tasks,
  claim,
  slot: (signal) => slot(UPLOADS_AT_ONCE, signal),
  store,
  random: Math.random,
  now,
  changed: onUpload,
};

// Files

async function take(coming) {
  voice.clear();
  const { found, tooMany, unreadable } = await coming;
  const messages = [];
  let added = 0;
  let again = null;
  batches += 1;
  for (const { file, path } of found) {
    const wanted = fingerprint(file);
    const same = uploads.find((u) => u.fingerprint === wanted && u.path === path && !u.settled);
    if (same) {
      // The same file again is how an upload that cannot go on gets its file back; otherwise it is there already.
      if (same.state === "unreadable") goOnWith(same, file);
      else again ??= same;
      continue;
    }
    add(file, path, store.find(file, path, (id) => uploads.some((u) => u.taskId === id)));
    added += 1;
  }
  if (again) {
    messages.push(`${displayName(again.name)} is in the list already.`);
    groups.uploads.get(again)?.point();
  }
  if (found.length === 0 && unreadable === 0) messages.push("There were no files in that.");
  if (tooMany) messages.push(`Only the first ${MOST_FILES} files were taken.`);
  if (unreadable > 0) messages.push(`${count(unreadable, "item")} could not be read.`);
  if (messages.length > 0) voice.show(messages.join(" "));
  if (added > 0) voice.say(`${count(added, "file")} added.`);
  draw();
}

function add(file, path, entry) {
  const upload = new Upload({ file, path, entry, batch: batches }, dependencies);
  const task = entry && taskList.get(entry.taskId);
  if (task) upload.acknowledgeOffset(task.offset);
  uploads.push(upload);
  queue.add(upload);
  return upload;
}

function goOnWith(upload, file) {
  upload.replaceFile(file);
  queue.add(upload, { first: true });
}

function choose(wanted) {
  choosingFor = wanted;
  byId("one-file").value = "";
  byId("one-file").click();
}

/** The file chosen for one row must be that row's file. */
function chosen(file) {
  const wanted = choosingFor;
  choosingFor = null;
  if (!file || !wanted) return;
  voice.clear();
  if (fingerprint(file) !== wanted.fingerprint) {
    const other = file.size !== wanted.size ? "its size differs" : file.name !== wanted.name ? "its name differs" : "it has been changed since";
    voice.show(`${displayName(file.name)} is not the file that this upload began with: ${other}.`);
    return;
  }
  if (wanted instanceof Upload) return goOnWith(wanted, file);
  batches += 1;
  voice.say(`Going on with ${displayName(file.name)}.`);
  add(file, wanted.path, wanted);
  draw();
}

// What the user asks of a row

async function onUploadAction(row, action) {
  const upload = row.key;
  switch (action) {
    case "pause":
      queue.remove(upload);
      return upload.pause();
    case "resume":
      upload.resume();
      return queue.add(upload, { first: true });
    case "again":
      upload.startAgain();
      return queue.add(upload, { first: true });
    case "now":
      return upload.retryNow();
    case "choose":
      return choose(upload);
    case "cancel":
      if (upload.acknowledged > 0 && !(await confirmCancel(row.name))) return undefined;
      queue.remove(upload);
      if (await upload.cancel()) {
        taskList.remove(upload.taskId);
        dismiss(upload);
        voice.say(`${row.name} is cancelled.`);
      }
      return undefined;
    default:
      if (upload.state === "gone") store.forget(upload.taskId);
      return dismiss(upload);
  }
}

function dismiss(upload) {
  uploads = uploads.filter((other) => other !== upload);
  draw();
  if (uploads.length === 0) byId("choose-files").focus();
}

async function onRememberedAction(row, action) {
  const entry = store.get(row.taskId);
  if (!entry) return;
  if (action === "choose") return choose(entry);
  if (action === "cancel") {
    if (row.percent > 0 && !(await confirmCancel(row.name))) return;
    const answer = await tus.terminate(entry.location);
    if (!answer.ok) {
      notes.set(entry.taskId, `It could not be cancelled. ${words(answer)}`);
      return draw();
    }
    voice.say(`${row.name} is cancelled.`);
  }
  store.forget(entry.taskId);
  taskList.remove(entry.taskId);
  draw();
}

async function onTaskAction(row, action) {
  const answer = await (action === "pause" ? tasks.pause : tasks.resume)(row.taskId);
  notes.delete(row.taskId);
  if (answer.ok) {
    // The answer has no name.
    taskList.put({ ...taskList.get(row.taskId), ...answer.task });
    voice.say(`${row.name} is ${action === "pause" ? "paused" : "resumed"}.`);
  } else {
    notes.set(row.taskId, words(answer));
    setTimeout(() => notes.delete(row.taskId) && draw(), NOTE_MS);
  }
  draw();
}

// What happens

function onUpload(upload) {
  const state = upload.state;
  if (spoken.get(upload) !== state) {
    // `retrying` and `offline` take turns while the server is away: it is said once.
    const quiet = state === "checking" || state === "retrying" || state === "queued" || state === "starting";
    if (!quiet) spoken.set(upload, state);
    if (SPOKEN[state]) voice.say(`${displayName(upload.name)} ${SPOKEN[state]}.${upload.note ? ` ${upload.note}` : ""}`);
  }
  draw();
}

function onprogress(taskId, percent) {
  const upload = uploads.find((u) => u.taskId === taskId);
  if (upload) upload.acknowledgePercent(percent);
  taskList.progress(taskId, percent);
  draw();
}

function onstate(state) {
  linkState = state;
  if (state === "live") serverIsBack();
  draw();
}

function serverIsBack() {
  for (const upload of uploads) {
    if (upload.state === "offline") upload.retryNow();
  }
  taskList.start();
}

async function onTasks() {
  elsewhere = await claimed();
  for (const task of taskList.all()) {
    if (task.status === "completed") store.finish(task.taskId);
    const upload = uploads.find((u) => u.taskId === task.taskId);
    upload?.acknowledgeOffset(task.offset);
    if (upload?.observeStatus(task.status)) queue.add(upload, { first: true });
  }
  if (!taskList.failure) askForRemembered();
  draw();
}

/** Remembered uploads beyond the first page of the list: each is asked for once. */
function askForRemembered() {
  for (const { taskId, finished } of store.all()) {
    if (finished || asked.has(taskId) || taskList.get(taskId) || uploads.some((u) => u.taskId === taskId)) continue;
    asked.add(taskId);
    tasks.look(taskId).then((answer) => {
      if (answer.ok) {
        const { name } = store.get(taskId) ?? {};
        taskList.put({ name, ...answer.task });
        if (answer.task.status === "completed") store.finish(taskId);
      } else if (answer.status === 404 || answer.status === 410) {
        gone.add(taskId);
      } else {
        asked.delete(taskId);
      }
      draw();
    });
  }
}

// Drawing

function draw() {
  drawTimer ||= setTimeout(render, DRAW_MS);
}

function render() {
  drawTimer = 0;
  const at = now();
  const here = new Set(uploads.map((u) => u.taskId));
  const remembered = store.all().filter((e) => !e.finished && !here.has(e.taskId) && !elsewhere.has(e.taskId));
  const apart = new Set(remembered.map((e) => e.taskId));
  const others = taskList.all().filter((t) => !here.has(t.taskId) && !apart.has(t.taskId));

  groups.uploads.update(inOrder(uploads).map((upload) => describeUpload(upload, at)));
  groups.remembered.update(
    remembered.map((entry) => {
      const task = taskList.get(entry.taskId);
      return describeRemembered(entry, task, { gone: gone.has(entry.taskId), note: notes.get(entry.taskId), now: at });
    }),
  );
  groups.tasks.update(
    others.map((task) => {
      const { taskId } = task;
      return describeTask(task, {
        location: store.get(taskId)?.location,
        movedAt: taskList.movedAt(taskId),
        note: notes.get(taskId),
        now: at,
      });
    }),
  );
  follow(others, remembered);
  renderFrame(others.length, remembered.length);
  // Countdowns and speeds move without an event.
  if (uploads.some((u) => u.active)) drawTimer = setTimeout(render, DRAW_MS * 2);
}

function renderFrame(others, remembered) {
  const summary = summarize(uploads);
  byId("drop").classList.toggle("compact", uploads.length + remembered + others > 0);
  byId("uploads").hidden = uploads.length === 0;
  byId("remembered").hidden = remembered === 0;
  byId("summary").textContent = summary.text.replaceAll(" · ", "\u00a0· ");
  byId("legend").hidden = summary.live === 0;
  byId("clear").hidden = summary.complete < 2;
  byId("more").hidden = taskList.next === null;
  const why = others > 0 ? "" : emptyWords(remembered);
  byId("tasks-empty").hidden = !why;
  byId("tasks-empty").textContent = why;
  byId("tasks-none").hidden = others > 0 || why !== "";
  document.title = summary.live + summary.waiting + summary.queued > 0 ? `${summary.percent} % · Windlass` : "Windlass";

  const down = taskList.failure?.kind === "network";
  const state = down ? "down" : linkState;
  byId("link").dataset.state = state;
  byId("link-words").textContent = { live: "Live", connecting: "Connecting", down: "Server not reachable" }[state];
}

function emptyWords(remembered) {
  const { failure } = taskList;
  if (failure?.kind === "network") return "The list comes back when the server does.";
  if (failure) return `The list cannot be shown. ${words(failure)}`;
  if (!taskList.loaded) return "Loading…";
  if (uploads.length + remembered > 0) return "No others: all your tasks are above.";
  return "";
}

function follow(others, remembered) {
  const mine = uploads.filter((u) => u.taskId && !u.settled && u.state !== "gone");
  const moving = others.filter((t) => t.status !== "completed" && t.status !== "failed");
  const waiting = remembered.filter((e) => !gone.has(e.taskId));
  const ids = [...mine.filter((u) => u.active), ...mine, ...moving, ...waiting].map(({ taskId }) => taskId);
  const at = now();
  live.follow([...new Set(ids)].filter((id) => !(refused.get(id) > at)).slice(0, MOST_FOLLOWED));
}

// Wiring

function storage() {
  try {
    return globalThis.localStorage;
  } catch {
    return null;
  }
}

function wireButtons() {
  for (const [button, input] of [
    ["choose-files", "files"],
    ["choose-folder", "folder"],
  ]) {
    byId(button).addEventListener("click", () => byId(input).click());
    byId(input).addEventListener("change", ({ target }) => {
      take(fromInput(target.files));
      // Otherwise the same file chosen again would be no change.
      target.value = "";
    });
  }
  byId("one-file").addEventListener("change", ({ target }) => chosen(target.files[0]));
  byId("clear").addEventListener("click", () => {
    uploads = uploads.filter((u) => u.state !== "completed");
    taskList.refresh();
    byId("choose-files").focus();
  });
  byId("more").addEventListener("click", async () => {
    const answer = await taskList.more();
    if (!answer.ok) voice.show(`The older tasks could not be loaded. ${words(answer)}`);
  });
}

acceptDrops(globalThis, {
  onfiles: take,
  onhover(dragging) {
    document.body.classList.toggle("dragging", dragging);
    byId("drop-title").textContent = dragging ? "Let go to upload" : "Drop files or folders here";
  },
});
wireButtons();
addEventListener("online", () => serverIsBack());
// Another tab has begun, finished or cancelled something.
addEventListener("storage", () => {
  store.reread();
  taskList.refresh();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) taskList.start();
});
addEventListener("beforeunload", (event) => {
  if (uploads.some((u) => u.active || u.state === "queued")) event.preventDefault();
});
live.connect();
taskList.start();
render();
