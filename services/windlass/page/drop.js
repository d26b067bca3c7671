// Files from a drop, a paste or a file chooser, as `{ file, path }`; folders are walked.

// A folder with more is most likely a mistake (a home directory); the page would also become slow.
export const MOST_FILES = 2000;

/**
 * Takes what is dropped or pasted anywhere on the page. `onfiles` gets a promise of `{ found, tooMany, unreadable }`,
 * `onhover(true|false)` follows the files over the page.
 */
export function acceptDrops(target, { onfiles, onhover }) {
  // Enter and leave come for every element that is crossed.
  let depth = 0;
  const listen = (type, handle) => {
    target.addEventListener(type, (event) => {
      if (event.dataTransfer?.types.includes("Files")) handle(event);
    });
  };
  listen("dragenter", () => {
    depth += 1;
    onhover(true);
  });
  listen("dragleave", () => {
    depth = Math.max(0, depth - 1);
    if (depth === 0) onhover(false);
  });
  listen("dragover", (event) => {
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  listen("drop", (event) => {
    event.preventDefault();
    depth = 0;
    onhover(false);
    onfiles(fromDrop(event.dataTransfer));
  });
  target.addEventListener("paste", (event) => {
    if (event.clipboardData?.files.length > 0) onfiles(fromInput(event.clipboardData.files));
  });
}

/** Must be called before the drop event ends: its items are gone afterwards. */
function fromDrop(dataTransfer) {
  const entries = [...dataTransfer.items]
    .filter((item) => item.kind === "file")
    .map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  return walk(entries.filter(Boolean));
}

/** From `<input type=file>`, with `webkitdirectory` or without. */
export function fromInput(files) {
  const found = [...files].map((file) => ({ file, path: folderOf(file.webkitRelativePath) }));
  return { found: found.slice(0, MOST_FILES), tooMany: found.length > MOST_FILES, unreadable: 0 };
}

async function walk(entries) {
  const result = { found: [], tooMany: false, unreadable: 0 };
  const waiting = [...entries];
  while (waiting.length > 0) {
    const entry = waiting.shift();
    if (result.found.length >= MOST_FILES) {
      result.tooMany = true;
      break;
    }
    try {
      if (entry instanceof File) result.found.push({ file: entry, path: "" });
      else if (entry.isFile) result.found.push({ file: await fileOf(entry), path: folderOf(entry.fullPath) });
      else if (entry.isDirectory) waiting.push(...(await children(entry)));
    } catch {
      result.unreadable += 1;
    }
  }
  return result;
}

function fileOf(entry) {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}

async function children(directory) {
  const reader = directory.createReader();
  const all = [];
  // readEntries gives a batch (Chromium: 100) and an empty one at the end.
  for (;;) {
    const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (batch.length === 0 || all.length > MOST_FILES) return all.sort((a, b) => (a.name < b.name ? -1 : 1));
    all.push(...batch);
  }
}

/** `/holiday/day 1/a.jpg` → `holiday/day 1`. */
export function folderOf(fullPath) {
  return (fullPath ?? "").replace(/^\//, "").split("/").slice(0, -1).join("/");
}
