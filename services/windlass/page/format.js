// Numbers, times and names in words. Pure: the clock is an argument.

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

/** Decimal units, three significant digits: `999 B`, `1.50 kB`, `2.00 GB`. */
export function bytes(count) {
  let value = Math.max(0, count);
  let unit = 0;
  // 999.5 and not 1000: what would be rounded to "1000 kB" is already "1.00 MB".
  while (value >= (unit === 0 ? 1000 : 999.5) && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  if (unit === 0) return `${Math.round(value)} B`;
  const digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

export function rate(bytesPerSecond) {
  return `${bytes(bytesPerSecond)}/s`;
}

/** A coarse figure, so that it does not flicker: `40 s left`, `3 min left`, `1 h 20 min left`. */
export function timeLeft(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return "";
  if (seconds < 5) return "a few seconds left";
  if (seconds < 55) return `${Math.ceil(seconds / 5) * 5} s left`;
  const minutes = Math.ceil(seconds / 60);
  if (minutes < 60) return `${minutes} min left`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 === 0 ? `${hours} h left` : `${hours} h ${minutes % 60} min left`;
  const days = Math.round(hours / 24);
  return `${days} ${days === 1 ? "day" : "days"} left`;
}

/** Whole percent as the server counts it: rounded down, 100 only when the upload is complete. */
export function percent(acknowledged, size, complete) {
  if (complete) return 100;
  if (!size) return 0;
  return Math.min(99, Math.floor((100 * acknowledged) / size));
}

/** How long ago: `just now`, `5 min ago`. */
export function relativeTime(at, now) {
  return now - at < 45_000 ? "just now" : `${span(now - at)} ago`;
}

/** A length of time, coarsely: `5 min`, `23 h`, `3 days`. */
export function span(ms) {
  const minutes = Math.max(0, ms) / 60_000;
  if (minutes < 90) return `${Math.max(1, Math.round(minutes))} min`;
  if (minutes < 36 * 60) return `${Math.round(minutes / 60)} h`;
  return `${Math.round(minutes / 1440)} days`;
}

export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}

// Control characters, and the marks that reorder text (`photo<RLO>gpj.exe` reads as `photoexe.jpg`).
// eslint-disable-next-line no-control-regex
const DECEPTIVE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** The name as it may be shown: whatever could deceive the reader is made visible. */
export function displayName(name) {
  const shown = String(name ?? "").replace(DECEPTIVE, "\ufffd").trim();
  return shown === "" ? "Unnamed file" : shown;
}

/** `[start, end]`: only the start is cut by an ellipsis, so that the ending stays readable. */
export function splitName(name) {
  const symbols = Array.from(name);
  if (symbols.length <= 16) return [name, ""];
  const dot = symbols.lastIndexOf(".");
  const extension = dot > 0 ? symbols.length - dot : 0;
  const tail = extension > 0 && extension <= 8 ? extension + 4 : 6;
  return [symbols.slice(0, -tail).join(""), symbols.slice(-tail).join("")];
}

/** At most four letters for the tile beside the name, or an empty string. */
export function extension(name) {
  const match = /[^.]\.([A-Za-z0-9]{1,4})$/.exec(name);
  return match ? match[1].toUpperCase() : "";
}
