// Rules about the files themselves that no compiler checks: what may be in the repository, and the shape of the crates.
// Reads tracked files and `cargo metadata` only; it builds nothing and changes nothing.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { before, test } from 'node:test';

/** Bytes. A file larger than this is a build product or test data that should be generated. */
const LARGEST_FILE = 512 * 1024;
/** Lines (CONVENTIONS 3 and 4): past these a map is no map, and a `main` does the library's work. */
const LONGEST_ARCHITECTURE = 200;
const LONGEST_MAIN = 80;

const root = run('git', ['rev-parse', '--show-toplevel']).trim();
let tracked;
let crates;

before(() => {
  // Files that somebody has deleted but not yet committed are listed, and cannot be read.
  tracked = run('git', ['ls-files', '-z']).split('\0').filter((path) => path && existsSync(join(root, path)));
  crates = JSON.parse(run('cargo', ['metadata', '--format-version=1', '--no-deps', '--locked', '--offline'])).packages;
});

test('no tracked file is larger than 512 KiB', () => {
  const large = tracked.filter((path) => lstatSync(join(root, path)).size > LARGEST_FILE);
  assert.deepEqual(large, []);
});

test('no file names a path of one machine', () => {
  // Put together here, so that this file does not name them either.
  const folders = ['work', 'root', 'home/[a-z]+', 'Users/[A-Za-z]+'].map((folder) => `/${folder}/`);
  assert.deepEqual(linesMatching(new RegExp(`(^|[^\\w.>}])(${folders.join('|')})`)), []);
});

test('no file names the host of a package registry', () => {
  const hosts = [
    'registry.npmjs', 'registry.yarnpkg', 'pypi.org', 'pythonhosted', 'index.crates', 'static.crates',
    'proxy.golang', 'sum.golang', 'deb.debian', 'security.debian', 'repo1.maven', 'repo.maven',
  ];
  assert.deepEqual(
    linesMatching(new RegExp(hosts.map((host) => host.replace('.', '[.]')).join('|'))).filter(
      (found) => !found.startsWith('tests/run.d/tidy.test.mjs:'),
    ),
    [],
  );
});

test('no test is switched off, marked to run alone, or left to do', () => {
  const rust = linesMatching(/^\s*#\[(cfg_attr\(.*)?ignore\b/, /\.rs$/);
  const script = linesMatching(/\b(test|it|describe|suite)\.(only|skip|todo)\b|\b(skip|only|todo): *(true|['"`])/, /\.m?js$/);
  const python = linesMatching(/@(unittest\.|pytest\.mark\.)(skip|expectedFailure|xfail)/, /\.py$/);
  const own = 'tests/run.d/tidy.test.mjs:';
  assert.deepEqual([...rust, ...script, ...python].filter((found) => !found.startsWith(own)), []);
});

test('every package file has its lock file beside it', () => {
  assert.ok(tracked.includes('Cargo.lock'), 'Cargo.lock is not tracked');
  for (const path of tracked.filter((path) => basename(path) === 'package.json')) {
    // Without dependencies there is nothing to lock.
    if (dependenciesOf(readJson(path)).length === 0) continue;
    const lock = join(dirname(path), 'package-lock.json');
    assert.ok(tracked.includes(lock), `${lock} is not tracked`);
    assert.deepEqual(unpinned(readJson(path)), [], `${path} has versions that are not exact`);
    const resolved = Object.values(readJson(lock).packages).filter((entry) => 'resolved' in entry && !entry.link);
    assert.deepEqual(resolved, [], `${lock} says where its packages were downloaded`);
  }
  for (const path of tracked.filter((path) => basename(path) === 'requirements.txt')) {
    const pins = read(path).replaceAll('\\\n', ' ').split('\n').filter((line) => /^[a-z]/i.test(line));
    assert.ok(pins.length > 0, `${path} pins nothing`);
    assert.deepEqual(pins.filter((pin) => !/==.*--hash=sha256:/.test(pin)), [], `${path} has pins without a hash`);
  }
});

test('ARCHITECTURE.md is at most 200 lines', () => {
  for (const path of tracked.filter((path) => path === 'ARCHITECTURE.md')) {
    assert.ok(lineCount(path) <= LONGEST_ARCHITECTURE, `${lineCount(path)} lines`);
  }
});

test('every main.rs is at most 80 lines', () => {
  const long = tracked.filter((path) => path.endsWith('src/main.rs') && lineCount(path) > LONGEST_MAIN);
  assert.deepEqual(long, []);
});

test('every crate is named as its folder', () => {
  const misnamed = crates.filter((crate) => basename(dirname(crate.manifest_path)) !== crate.name);
  assert.deepEqual(misnamed.map((crate) => crate.name), []);
});

test('modules are laid out as foo.rs and foo/, never as mod.rs', () => {
  assert.deepEqual(tracked.filter((path) => basename(path) === 'mod.rs' && path.startsWith('services/')), []);
});

test('no service depends on another, except the binary that joins them', () => {
  const services = ['windlass-upload', 'windlass-push'];
  assert.deepEqual(services.filter((name) => !crates.some((crate) => crate.name === name)), [], 'services not found');
  for (const service of services) {
    const forbidden = [...services, 'windlass'].filter((name) => name !== service);
    const reached = [...reachable(service)].filter((name) => forbidden.includes(name));
    assert.deepEqual(reached, [], `${service} reaches another service`);
  }
});

test('no service depends on the operator, nor the operator on a service', () => {
  for (const [folder, other] of [['services/', 'operator/'], ['operator/', 'services/']]) {
    const there = crates.filter((crate) => pathOf(crate).startsWith(other)).map(({ name }) => name);
    assert.ok(there.length > 0, `no crate in ${other}`);
    for (const crate of crates.filter((crate) => pathOf(crate).startsWith(folder))) {
      assert.deepEqual([...reachable(crate.name)].filter((name) => there.includes(name)), [], `${crate.name} reaches ${other}`);
    }
  }
});

test('every dependency comes from the package registry, under a licence that Apache-2.0 software can ship', () => {
  const all = JSON.parse(run('cargo', ['metadata', '--format-version=1', '--locked'])).packages;
  const foreign = all.filter(({ source }) => source !== null);
  assert.ok(foreign.length > 100, 'the dependencies were not read');
  // Cargo's own name of the default registry; no other, and no repository.
  const elsewhere = foreign.filter(({ source }) => !source.startsWith('registry+') || !source.endsWith('/crates.io-index'));
  assert.deepEqual(elsewhere.map(({ name }) => name), []);
  const unlicensed = foreign.filter(({ license }) => !permits(license ?? ''));
  assert.deepEqual(unlicensed.map(({ name, license }) => `${name}: ${license}`), []);
});

test('nothing that is banned has come in by way of another dependency', () => {
  const locked = [...read('Cargo.lock').matchAll(/^name = "(.*)"$/gm)].map(([, name]) => name);
  const banned = {
    'openssl-sys': 'needs OpenSSL headers',
    'native-tls': 'a second TLS stack',
    'aws-lc-sys': 'a second rustls provider; two of them panic',
    serde_yaml: 'unmaintained',
  };
  assert.deepEqual(locked.filter((name) => name in banned), []);
});

/** Licences (SPDX) that a binary under Apache-2.0 may contain. NCSA is the fuzzer's runtime, which is never shipped. */
const LICENCES = new Set([
  'Apache-2.0', 'Apache-2.0 WITH LLVM-exception', 'BSD-2-Clause', 'BSD-3-Clause', 'BSL-1.0', 'CDLA-Permissive-2.0', 'ISC',
  'MIT', 'NCSA', 'Unicode-3.0', 'Unlicense', 'Zlib',
]);

/** Whether an SPDX expression can be met; `/` is the old way to write OR. */
function permits(expression) {
  const tokens = expression.replaceAll('/', ' OR ').match(/[()]|[^\s()]+/g) ?? [];
  const either = () => {
    let met = both();
    while (tokens[0] === 'OR') {
      tokens.shift();
      met = both() || met;
    }
    return met;
  };
  const both = () => {
    let met = one();
    while (tokens[0] === 'AND') {
      tokens.shift();
      met = one() && met;
    }
    return met;
  };
  const one = () => {
    let name = tokens.shift();
    if (name === '(') {
      const met = either();
      return tokens.shift() === ')' && met;
    }
    if (tokens[0] === 'WITH') name = `${name} ${tokens.shift()} ${tokens.shift()}`;
    return LICENCES.has(name);
  };
  return either() && tokens.length === 0;
}

/** Where a crate is, from the repository's root. */
function pathOf(crate) {
  return relative(root, crate.manifest_path);
}

/** The workspace's crates that a crate depends on, directly or not, in builds and in tests. */
function reachable(name, seen = new Set()) {
  const crate = crates.find((candidate) => candidate.name === name);
  for (const { name: next, path } of crate.dependencies) {
    if (path && !seen.has(next)) {
      seen.add(next);
      reachable(next, seen);
    }
  }
  return seen;
}

/** `path:line: text` for each line of a tracked text file that matches. */
function linesMatching(pattern, paths = /./) {
  const found = [];
  for (const path of tracked.filter((path) => paths.test(path) && lstatSync(join(root, path)).isFile())) {
    const text = read(path);
    if (text.includes('\0')) continue;
    text.split('\n').forEach((line, index) => {
      if (pattern.test(line)) found.push(`${path}:${index + 1}: ${line.trim().slice(0, 120)}`);
    });
  }
  return found;
}

function dependenciesOf(packageFile) {
  return Object.entries({ ...packageFile.dependencies, ...packageFile.devDependencies });
}

function unpinned(packageFile) {
  return dependenciesOf(packageFile).filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version));
}

function lineCount(path) {
  return read(path).trimEnd().split('\n').length;
}

function readJson(path) {
  return JSON.parse(read(path));
}

function read(path) {
  return readFileSync(join(root, path), 'utf8');
}

function run(program, args) {
  return execFileSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'inherit'] });
}
