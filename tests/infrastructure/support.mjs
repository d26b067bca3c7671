// What the tests of infrastructure share: a copy of the repository's part to work in, and Terraform that finds its providers
// in a folder. TERRAFORM, SCHEMA_STUB and PROVIDER_ZIP come from tests/run.d/infrastructure.
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

export const CLOUDS = ['aws', 'alicloud'];
export const MODULES = ['audit', 'cluster', 'dns', 'identity', 'network', 'state', 'storage'];

/** The versions whose schemas the stub has (tests/infrastructure/schemas/README.md). */
const STUBBED = { 'hashicorp/aws': '6.62.0', 'aliyun/alicloud': '1.289.0' };
/** Terraform's registry and OpenTofu's: each looks for a provider under the name of its own. */
const REGISTRIES = ['registry.terraform.io', 'registry.opentofu.org'];

/** A folder that goes when the test ends, with a mirror of the stub under both clouds' names. */
export function workplace(test) {
  const folder = mkdtempSync(join(tmpdir(), 'windlass-infrastructure-'));
  test.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const registry of REGISTRIES) {
    for (const [name, version] of Object.entries(STUBBED)) {
      const short = basename(name);
      const place = join(folder, 'mirror', registry, name, version, 'linux_amd64');
      mkdirSync(place, { recursive: true });
      cpSync(process.env.SCHEMA_STUB, join(place, `terraform-provider-${short}_v${version}`));
      cpSync(`tests/infrastructure/schemas/${short}.json`, join(place, 'schema.json'));
    }
  }
  return { folder, configuration: cliConfiguration(folder, 'mirror') };
}

/** A mirror with the one real provider that can be had. */
export function realMirror(folder) {
  for (const registry of REGISTRIES) {
    const place = join(folder, 'real', registry, 'hashicorp', 'aws');
    mkdirSync(place, { recursive: true });
    cpSync(process.env.PROVIDER_ZIP, join(place, basename(process.env.PROVIDER_ZIP)));
  }
  return cliConfiguration(folder, 'real');
}

function cliConfiguration(folder, mirror) {
  const path = join(folder, `${mirror}.tfrc`);
  writeFileSync(path, `provider_installation {\n  filesystem_mirror {\n    path = "${join(folder, mirror)}"\n  }\n}\n`);
  return path;
}

/** Copies folders of the repository below the workplace; states and plans of the tests stay out of the checkout. */
export function copyRepository(place, name) {
  const folder = join(place.folder, name);
  for (const part of ['terraform', 'policies']) {
    cpSync(part, join(folder, part), { recursive: true, filter: (path) => !/\.terraform|\.gate$/.test(path) });
  }
  return folder;
}

/** Keeps a root's state in a file beside it: no cloud holds it. */
export function withLocalState(root) {
  writeFileSync(join(root, 'backend_override.tf'), 'terraform {\n  backend "local" {}\n}\n');
}

export function environment(place, more = {}) {
  return {
    ...process.env, TF_CLI_CONFIG_FILE: place.configuration, CHECKPOINT_DISABLE: '1', TF_IN_AUTOMATION: '1',
    WINDLASS_TERRAFORM: process.env.TERRAFORM, ...more,
  };
}

/** @returns {{status: number, output: string}} */
export function terraform(place, folder, ...words) {
  return finished(spawnSync(process.env.TERRAFORM, words, { cwd: folder, env: environment(place), encoding: 'utf8', maxBuffer: 1 << 28 }));
}

/** Runs a gate of a copied repository: `gate(place, repository, 'policy', root, '--author', 'alice')`. */
export function gate(place, repository, ...words) {
  const { env, ...rest } = typeof words.at(-1) === 'object' ? words.pop() : { env: {} };
  const options = { cwd: repository, env: environment(place, env), encoding: 'utf8', maxBuffer: 1 << 28, ...rest };
  return finished(spawnSync(join(repository, 'terraform/gate'), words, options));
}

/** The same without waiting, for a test that must answer the gate meanwhile. */
export function gateMeanwhile(place, repository, words, env) {
  const child = spawn(join(repository, 'terraform/gate'), words, { cwd: repository, env: environment(place, env) });
  let output = '';
  child.stdout.on('data', (data) => (output += data));
  child.stderr.on('data', (data) => (output += data));
  return new Promise((resolve) => child.on('close', (status) => resolve({ status, output })));
}

function finished({ status, stdout, stderr, error }) {
  if (error) throw error;
  return { status, output: stdout + stderr };
}

/** The names of the rules that a gate blocked by, each once. */
export function blockedBy({ output }) {
  return [...new Set([...output.matchAll(/^BLOCKED \[([\w-]+)\]/gm)].map(([, rule]) => rule))].toSorted();
}

export function read(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}
