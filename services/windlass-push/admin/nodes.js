// Asks all nodes what they are doing, every two seconds while somebody looks, and shows it. Nodes count since their start;
// rates are the difference of two looks.

/** Milliseconds between two looks. */
const PAUSE = 2_000;
/** Milliseconds after which a look is given up. */
const PATIENCE = 5_000;
/** Seconds after which a probe should have come: they are sent every two, and a third one is late. */
const PROBE_LATE = 6;
/** How many looks are kept: those of a minute. */
const LOOKS = 30;

const SECOND = 1_000;
const whole = new Intl.NumberFormat('en');
const looks = [];

const element = (id) => document.getElementById(id);
const sum = (list, of) => list.reduce((total, item) => total + of(item), 0);
const connections = (node) => sum(Object.values(node.connections), (count) => count);

function bytes(count) {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  for (; count >= 1024 && unit < units.length - 1; unit += 1) count /= 1024;
  return `${unit === 0 || count >= 100 ? Math.round(count) : count.toFixed(1)} ${units[unit]}`;
}

function duration(seconds) {
  const parts = [[86_400, 'd'], [3_600, 'h'], [60, 'min'], [1, 's']].map(([size, unit], index, all) => {
    const count = Math.floor((index === 0 ? seconds : seconds % all[index - 1][0]) / size);
    return [count, unit];
  });
  const first = Math.max(0, parts.findIndex(([count]) => count > 0));
  return seconds < 1 ? '0 s' : parts.slice(first, first + 2).map(([count, unit]) => `${count} ${unit}`).join(' ');
}

function rate(value) {
  if (value === undefined) return '–';
  return value >= 100 || Number.isInteger(value) ? whole.format(Math.round(value)) : value.toFixed(1);
}

/** How long ago a node's last probe came; it sends none where it shares its channels with nobody. */
function probe(age) {
  if (age === undefined) return ['–', 'n'];
  return [`${age.toFixed(1)} s ago`, age > PROBE_LATE ? 'n late' : 'n'];
}

/** What a node's counter grew by since a look before; undefined when the node was not there. */
function grown(node, of, before) {
  const then = before?.nodes.find((known) => known.node === node.node);
  return then && of(node) - of(then);
}

/** The same a second, since the last look. */
function perSecond(node, of) {
  const growth = grown(node, of, looks.at(-2));
  return growth && (growth * SECOND) / (looks.at(-1).at - looks.at(-2).at);
}

function together(nodes, of) {
  const rates = nodes.map((node) => perSecond(node, of)).filter((value) => value !== undefined);
  return rates.length ? sum(rates, (value) => value) : undefined;
}

/** Fills a table's body; each row is a list of cells, a cell a text or [text, class]. */
function fill(body, rows) {
  body.replaceChildren(...rows.map((cells) => {
    const row = document.createElement('tr');
    row.append(...cells.map((cell) => {
      const [text, kind] = [cell].flat();
      const made = document.createElement('td');
      made.textContent = text;
      if (kind) made.className = kind;
      return made;
    }));
    return row;
  }));
}

function show(nodes) {
  const number = (value) => [value, 'n'];
  const transports = {};
  for (const node of nodes) {
    for (const [name, count] of Object.entries(node.connections)) transports[name] = (transports[name] ?? 0) + count;
  }
  const texts = {
    connections: whole.format(sum(nodes, connections)),
    transports: Object.entries(transports).filter(([, count]) => count > 0).map(([name, count]) => `${name} ${whole.format(count)}`).join(' · '),
    subscriptions: whole.format(sum(nodes, (node) => node.subscriptions)),
    channels: `channels ${whole.format(sum(nodes, (node) => node.channels))} · users ${whole.format(sum(nodes, (node) => node.users))}`,
    publications: rate(together(nodes, (node) => node.publications)),
    'publications-total': `${whole.format(sum(nodes, (node) => node.publications))} since the start`,
    deliveries: rate(together(nodes, (node) => node.deliveries)),
    'deliveries-total': `${whole.format(sum(nodes, (node) => node.deliveries))}, of these ${whole.format(sum(nodes, (node) => node.conflated))} conflated`,
    queue: bytes(sum(nodes, (node) => node.queueBytes)),
    longest: `furthest behind ${bytes(Math.max(0, ...nodes.map((node) => node.longestQueueBytes)))}`,
    behind: `Subscriptions ended for a full queue: ${whole.format(sum(nodes, (node) => node.overflowed))}. Recoveries: `
      + `${whole.format(sum(nodes, (node) => node.recovered))} whole, ${whole.format(sum(nodes, (node) => node.unrecovered))} impossible.`,
  };
  for (const [id, text] of Object.entries(texts)) element(id).textContent = text;

  fill(element('nodes'), nodes.map((node) => [
    [node.node, 'id'], duration(node.uptimeSeconds), number(whole.format(connections(node))),
    number(whole.format(node.users)), number(whole.format(node.subscriptions)), number(whole.format(node.channels)),
    number(rate(perSecond(node, ({ publications }) => publications))), number(rate(perSecond(node, ({ deliveries }) => deliveries))),
    number(bytes(node.queueBytes)), number(bytes(node.longestQueueBytes)), probe(node.probeAgeSeconds),
  ]));
  showClosed(nodes);
  showBusiest(nodes);
}

function showClosed(nodes) {
  const codes = new Map();
  for (const node of nodes) {
    for (const [code, { count, reason }] of Object.entries(node.closed)) {
      const known = codes.get(code) ?? { count: 0, recent: 0, reason };
      const recent = grown(node, ({ closed }) => closed[code]?.count ?? 0, looks[0]);
      codes.set(code, { count: known.count + count, recent: known.recent + (recent ?? 0), reason: known.reason });
    }
  }
  const rows = [...codes].sort(([, one], [, other]) => other.count - one.count);
  fill(element('closed'), rows.map(([code, { count, recent, reason }]) => [
    code, reason || 'by the client', [whole.format(recent), 'n'], [whole.format(count), 'n'],
  ]));
  element('closed-none').hidden = rows.length > 0;
}

function showBusiest(nodes) {
  const channels = new Map();
  for (const { tenant, channel, subscribers } of nodes.flatMap(({ busiest }) => busiest)) {
    const key = `${tenant}/${channel}`;
    channels.set(key, { tenant, channel, subscribers: subscribers + (channels.get(key)?.subscribers ?? 0) });
  }
  const rows = [...channels.values()].sort((one, other) => other.subscribers - one.subscribers).slice(0, 20);
  fill(element('busiest'), rows.map(({ tenant, channel, subscribers }) => [
    [channel, 'id'], tenant, [whole.format(subscribers), 'n'],
  ]));
  element('busiest-none').hidden = rows.length > 0;
}

function tell(state, words) {
  element('link').dataset.state = state;
  // Said again only when it is something else, for those who listen to the page.
  if (element('link-words').textContent !== words) element('link-words').textContent = words;
}

async function look() {
  const response = await fetch('/admin/push/nodes', { signal: AbortSignal.timeout(PATIENCE) });
  if (!response.ok) throw new Error(`status ${response.status}`);
  const { nodes } = await response.json();
  looks.push({ at: performance.now(), nodes });
  if (looks.length > LOOKS) looks.shift();
  show(nodes);
  tell('there', nodes.length === 1 ? '1 node answers' : `${nodes.length} nodes answer`);
}

async function keepLooking() {
  for (;;) {
    if (!document.hidden) await look().catch(() => tell('away', 'No answer; trying again'));
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}

keepLooking();
