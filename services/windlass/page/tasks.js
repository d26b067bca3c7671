// The caller's tasks as the server lists them, and the two things an owner may ask of one.

import { request } from "./http.js";

/** `{ ok, tasks, next }`, newest first; `next` is the cursor of the next page or null. */
export async function list({ limit, after }) {
  const query = new URLSearchParams({ limit: String(limit) });
  if (after) query.set("after", after);
  const answer = await request("GET", `/tasks?${query}`);
  if (!answer.ok) return answer;
  const tasks = Array.isArray(answer.body?.tasks) ? answer.body.tasks : [];
  return { ok: true, tasks: tasks.filter((task) => typeof task?.taskId === "string"), next: answer.body?.next ?? null };
}

/** `{ ok, task }`. */
export async function look(taskId, signal) {
  return asTask(await request("GET", `/tasks/${encodeURIComponent(taskId)}`, { signal }));
}

export async function pause(taskId) {
  return asTask(await request("POST", `/tasks/${encodeURIComponent(taskId)}/pause`));
}

export async function resume(taskId) {
  return asTask(await request("POST", `/tasks/${encodeURIComponent(taskId)}/resume`));
}

function asTask(answer) {
  if (!answer.ok) return answer;
  if (typeof answer.body?.taskId !== "string") return { ok: false, kind: "nonsense", detail: "The server sent no task." };
  return { ok: true, task: answer.body };
}
