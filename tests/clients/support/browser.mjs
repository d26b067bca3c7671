// Debian's Chromium, driven by playwright-core, with a record of what the page asked for and complained about.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { DEADLINE } from './wait.mjs';

const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];

/** Starts a browser that ends with test `t`. */
export async function startBrowser(t) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ARGUMENTS });
  t.after(() => browser.close());
  return browser;
}

/**
 * Opens a page in a fresh profile. `requests` lists `{method, path, offset}`, `created` the Locations of uploads,
 * `complaints` console errors, uncaught exceptions and CSP violations.
 */
export async function openPage(browser, url, { viewport = { width: 1280, height: 800 } } = {}) {
  const context = await browser.newContext({ viewport });
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE);
  const watch = { requests: [], created: [], complaints: [] };
  page.on('request', (request) => {
    const offset = request.headers()['upload-offset'];
    watch.requests.push({
      method: request.method(),
      path: new URL(request.url()).pathname,
      offset: offset === undefined ? undefined : Number(offset),
    });
  });
  page.on('response', (response) => {
    if (response.request().method() !== 'POST' || response.status() !== 201) return;
    const location = response.headers().location;
    if (location) watch.created.push(new URL(location, response.url()).href);
  });
  page.on('pageerror', (error) => watch.complaints.push(`exception: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error') watch.complaints.push(`console: ${message.text()} ${message.location().url}`);
  });
  await page.exposeFunction('reportViolation', (text) => watch.complaints.push(`CSP: ${text}`));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      globalThis.reportViolation(`${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  await page.goto(url);
  return { page, ...watch };
}

/** Slows what the page uploads down to so many bytes a second, so that there is a middle; returns the way back. */
export async function slowUploads(page, bytesPerSecond) {
  const session = await page.context().newCDPSession(page);
  const set = (uploadThroughput) =>
    session.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput });
  await session.send('Network.enable');
  await set(bytesPerSecond);
  return () => set(-1);
}

/** Drops files of this disk onto an element as a file manager does: the browser itself makes the events. */
export async function dropFiles(page, element, files) {
  const box = await element.boundingBox();
  const session = await page.context().newCDPSession(page);
  const at = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  const data = { items: [], files, dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop']) await session.send('Input.dispatchDragEvent', { type, ...at, data });
}

/** Presses Tab until what has the focus is called `name`, as someone without a mouse does. */
export async function tabTo(page, name, most = 60) {
  const seen = [];
  for (let count = 0; count < most; count += 1) {
    const focused = await page.evaluate(() => {
      const element = document.activeElement;
      return element.getAttribute('aria-label') ?? element.textContent.trim();
    });
    if (typeof name === 'string' ? focused === name : name.test(focused)) return;
    seen.push(focused);
    await page.keyboard.press('Tab');
  }
  throw new Error(`no way by Tab to ${name}, only to ${JSON.stringify([...new Set(seen)])}`);
}

/** True if the page can be scrolled sideways. */
export function scrollsSideways(page) {
  return page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
}

/** Keeps a picture in the cache folder, for a person to look at. */
export async function screenshot(page, name) {
  const folder = process.env.WINDLASS_CACHE;
  if (!folder) return;
  await mkdir(join(folder, 'screenshots'), { recursive: true });
  await page.screenshot({ path: join(folder, 'screenshots', `${name}.png`), fullPage: true });
}
