// One HTTP request, and its answer as a value: `{ ok: true, status, headers, body }` or a failure as retry.js reads it.

import { parseRetryAfter } from "./retry.js";

// The same patience as `windlass put` has for a response.
const RESPONSE_TIMEOUT_MS = 30_000;

/** `body` of the answer is the parsed JSON, if it was JSON. Never throws, except when `signal` aborts. */
export async function request(method, url, { headers = {}, signal } = {}) {
  const timeout = AbortSignal.timeout(RESPONSE_TIMEOUT_MS);
  let response;
  let body;
  try {
    response = await fetch(url, {
      method,
      headers,
      // 304s are the browser's business; HEAD and friends are marked no-store by the server.
      cache: "no-cache",
      redirect: "error",
      signal: signal ? anySignal(signal, timeout) : timeout,
    });
    body = await jsonOf(method, response);
  } catch {
    signal?.throwIfAborted();
    return { ok: false, kind: "network" };
  }
  if (response.ok) return { ok: true, status: response.status, headers: response.headers, body };
  return statusFailure(response.status, body, response.headers.get("retry-after"));
}

async function jsonOf(method, response) {
  // The answer to a HEAD has the media type of a body that it does not have.
  if (method === "HEAD" || !isJson(response.headers.get("content-type"))) return undefined;
  // What went wrong is told by the status, also when the words about it are cut off.
  return response.ok ? response.json() : response.json().catch(() => undefined);
}

/** A failure from a status and, where there is one, its problem+json body. */
export function statusFailure(status, body, retryAfter) {
  return {
    ok: false,
    kind: "status",
    status,
    code: typeof body?.code === "string" ? body.code : undefined,
    detail: sentence(body?.detail) ?? sentence(body?.title),
    retryAfterMs: parseRetryAfter(retryAfter, Date.now()),
  };
}

export function isJson(contentType) {
  return /^application\/([\w.-]+\+)?json\b/i.test(contentType ?? "");
}

/** As the user reads it: a capital first, a full stop last, never a whole page. */
function sentence(text) {
  if (typeof text !== "string" || text.trim() === "") return undefined;
  const short = Array.from(text.trim()).slice(0, 300).join("");
  const first = short.charAt(0).toUpperCase() + short.slice(1);
  return /[.!?…]$/.test(first) ? first : `${first}.`;
}

// AbortSignal.any is younger than the other things this page needs.
function anySignal(...signals) {
  if (AbortSignal.any) return AbortSignal.any(signals);
  const controller = new AbortController();
  for (const signal of signals) {
    if (signal.aborted) controller.abort(signal.reason);
    else signal.addEventListener("abort", () => controller.abort(signal.reason), { once: true });
  }
  return controller.signal;
}
