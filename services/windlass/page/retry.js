// What to do about a failed request. Pure: a table, no timers and no I/O.
//
// A failure is `{ during: "create"|"head"|"patch", kind: "network"|"status"|"nonsense",
// status?, code?, detail?, retryAfterMs? }`, as tus.js makes it.

/** Waits before the tries that follow a failure; after as many in a row without an advance it stops. */
export const SCHEDULE_MS = [1000, 2000, 4000];

/** While the server cannot be reached at all the page goes on trying, at most this far apart. */
export const OUTAGE_CAP_MS = 10_000;

// A Retry-After beyond this is not waited for in silence: the row says "interrupted" instead.
const RETRY_AFTER_CAP_MS = 300_000;

const RETRIED = new Set([408, 409, 423, 429, 460]);

const WORDS = {
  400: "The server did not understand the request.",
  401: "The server asks for a token, and this page has none.",
  403: "The server does not allow this.",
  404: "The server does not know this upload.",
  408: "The server waited too long for the file.",
  409: "The server has stored another amount of this file.",
  410: "The server no longer keeps this upload.",
  412: "The server speaks another version of the upload protocol.",
  413: "The file is larger than the server accepts.",
  415: "The server does not accept this kind of upload.",
  423: "The server is busy with this upload.",
  429: "The server asks to wait.",
  460: "Part of the file arrived damaged.",
};

/** The server's own words if it gave any, otherwise ours for the status. */
export function words(failure) {
  if (failure.kind === "network") return "The connection was lost.";
  if (failure.kind === "nonsense") return failure.detail;
  if (failure.detail) return failure.detail;
  if (WORDS[failure.status]) return WORDS[failure.status];
  return failure.status >= 500 ? "The server has a problem." : `The server answered with status ${failure.status}.`;
}

/**
 * `failuresInARow` counts the failures before this one since the server last acknowledged a byte.
 *
 * - `outage`: nobody answered; wait (see `outageDelay`) and ask again, without end
 * - `retry`: wait `afterMs`, then ask for the offset and go on
 * - `interrupt`: enough; the user decides
 * - `paused`: somebody paused the task elsewhere
 * - `gone`: the server has no such upload; never started again in silence
 * - `stop`: it will not work like this; `words` says why
 */
export function decide(failure, failuresInARow) {
  if (failure.kind === "nonsense") return { do: "stop" };
  if (failure.kind === "status") {
    if (failure.status === 409 && failure.code === "paused") return { do: "paused" };
    if ((failure.status === 404 || failure.status === 410) && failure.during !== "create") return { do: "gone" };
    if (failure.status < 500 && !RETRIED.has(failure.status)) return { do: "stop" };
  } else if (failure.during !== "patch") {
    // A broken PATCH alone may be the doing of the path or the file; whether the server is down, the HEAD after it tells.
    return { do: "outage" };
  }
  const scheduled = SCHEDULE_MS[failuresInARow];
  const asked = failure.retryAfterMs ?? 0;
  if (scheduled === undefined || asked > RETRY_AFTER_CAP_MS) return { do: "interrupt" };
  return { do: "retry", afterMs: Math.max(scheduled, asked) };
}

/** Wait before the `n`th (from 0) try of an outage; `random` in 0..1 spreads the tries of many pages. */
export function outageDelay(n, random) {
  const full = Math.min(OUTAGE_CAP_MS, SCHEDULE_MS[0] * 2 ** Math.min(n, 10));
  return Math.round(full * (0.7 + 0.3 * random));
}

/** Retry-After as seconds or as a date (RFC 9110 §10.2.3), in ms from `now`; `undefined` if there is none. */
export function parseRetryAfter(header, now) {
  if (!header) return undefined;
  if (/^\s*\d+\s*$/.test(header)) return Number(header) * 1000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
