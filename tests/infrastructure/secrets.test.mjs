// Static secrets appear nowhere: in no tracked file of infrastructure, policies and workflows, and not in state outputs.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const PATTERNS = {
  'an AWS access key': /\b(AKIA|ASIA)[0-9A-Z]{16}\b/,
  'an Alibaba Cloud access key': /\bLTAI[0-9A-Za-z]{12,30}\b/,
  'a private key': /-----BEGIN [A-Z ]*PRIVATE KEY-----/,
  'a token of GitHub or GitLab': /\b(gh[pousr]_[0-9A-Za-z]{36}|glpat-[0-9A-Za-z_-]{20})\b/,
  'a password that is written down': /\b(password|secret_key|access_key|secret)["']?\s*[:=]\s*["'][^"'${]{8,}["']/i,
};
/** Where a check must find something bad, or where an address of the samples says what is masked. */
const ON_PURPOSE = /^(terraform\/gates\/known-bad\/|tests\/infrastructure\/secrets\.test\.mjs$)/;

const tracked = execFileSync('git', ['ls-files', '-z', 'terraform', 'policies', 'tests/infrastructure', 'tests/policies', '.github', 'docs'], { encoding: 'utf8' })
  .split('\0').filter((path) => path && !ON_PURPOSE.test(path));

test('no file holds a static secret', () => {
  assert.ok(tracked.length > 100);
  const found = [];
  for (const path of tracked) {
    const text = readFileSync(path, 'utf8');
    for (const [what, pattern] of Object.entries(PATTERNS)) {
      if (pattern.test(text)) found.push(`${path}: ${what}`);
    }
  }
  assert.deepEqual(found, []);
});

test('each pattern finds what it looks for', () => {
  const bad = [`AKIA${'A'.repeat(16)}`, `LTAI${'a'.repeat(20)}`, `-----BEGIN ${'RSA PRIVATE KEY'}-----`, `ghp_${'a'.repeat(36)}`, 'password = "correct horse"'];
  assert.deepEqual(Object.values(PATTERNS).map((pattern, index) => pattern.test(bad[index])), [true, true, true, true, true]);
  const known = readFileSync('terraform/gates/known-bad/aws.tf', 'utf8');
  assert.match(known, PATTERNS['an AWS access key']);
});

test('workflows hold no key, only an identity', () => {
  for (const path of tracked.filter((each) => each.startsWith('.github/') || each.startsWith('docs/examples/gitlab'))) {
    const text = readFileSync(path, 'utf8');
    assert.doesNotMatch(text, /\bsecrets\.(?!GITHUB_TOKEN)/, `${path} reads a stored secret`);
  }
  assert.match(readFileSync('.github/workflows/infrastructure.yml', 'utf8'), /id-token: write/);
});

test('every gate of the documents is in the workflows, and every workflow is well formed', () => {
  const workflow = readFileSync('.github/workflows/infrastructure.yml', 'utf8');
  const gitlab = readFileSync('docs/examples/gitlab-infrastructure.yml', 'utf8');
  for (const text of [workflow, gitlab]) {
    for (const gate of ['fmt validate scan plan policy', 'approve', 'apply']) assert.ok(text.includes(gate), gate);
  }
  for (const path of tracked.filter((each) => /\.github\/.*\.yml$|gitlab-infrastructure\.yml$/.test(each))) {
    execFileSync('python3', ['-c', 'import sys, yaml; yaml.safe_load(open(sys.argv[1]))', path]);
  }
});
