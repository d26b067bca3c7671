// Repair of what Terraform does not hold: into a folder, with the real ansible-playbook.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';

let folder;
before((context) => {
  folder = mkdtempSync(join(tmpdir(), 'windlass-ansible-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
});

/** An inventory of this machine under two names, whose files go below the folder. */
function inventory(name, lines) {
  const place = join(folder, name);
  mkdirSync(place, { recursive: true });
  const path = join(place, 'inventory.ini');
  writeFileSync(path, lines(place));
  return { path, place };
}

function repair(path) {
  const { status, stdout, stderr } = spawnSync('terraform/ansible/repair', [path], { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C.UTF-8', HOME: folder } });
  return { status, output: stdout + stderr };
}

const HOSTS = (place) => `[bastions]\nbastion ansible_connection=local ansible_python_interpreter=/usr/bin/python3 file_root=${place}/bastion\n[nodes]\nnode ansible_connection=local ansible_python_interpreter=/usr/bin/python3 file_root=${place}/node\n`;

test('what differs is shown, repaired and stays repaired, and the audit record says so', () => {
  const { path, place } = inventory('region', HOSTS);
  const first = repair(path);
  assert.equal(first.status, 0, first.output);
  assert.match(first.output, /repair: 2 hosts, [1-9]\d* differed, 0 changed by a second run/);

  const settings = join(place, 'bastion/etc/ssh/sshd_config.d/60-windlass.conf');
  const sound = readFileSync(settings, 'utf8');
  assert.match(sound, /^PermitRootLogin no$/m);
  writeFileSync(settings, sound.replace('PermitRootLogin no', 'PermitRootLogin yes'));
  const second = repair(path);
  assert.equal(second.status, 0, second.output);
  assert.match(second.output, /-PermitRootLogin yes/);
  assert.match(second.output, /repair: 2 hosts, 1 differed/);
  assert.equal(readFileSync(settings, 'utf8'), sound);

  const record = readFileSync(join(place, '.gate/audit.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(record.map(({ status }) => status), ['passed', 'passed']);
  assert.deepEqual(record[1].unmapped.details, ['2 hosts', '1 differed', '0 changed again']);
  assert.equal(record[1].previous, record[0].hash);
});

test('an inventory without hosts passes nothing', () => {
  const { path } = inventory('empty', () => '[bastions]\n[nodes]\n');
  const { status, output } = repair(path);
  assert.equal(status, 2, output);
  assert.match(output, /could not look/);
});
