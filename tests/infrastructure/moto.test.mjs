// The gates' whole way through a real provider and an API that answers: the AWS provider 3.39 of 2021 against moto.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cpSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { blockedBy, copyRepository, gate, realMirror, workplace } from './support.mjs';

/** Milliseconds for moto to answer: it imports for a second, and shares the machine. */
const START = 60_000;

let place;
let endpoint;

before(async (context) => {
  place = workplace(context);
  place.configuration = realMirror(place.folder);
  const port = await freePort();
  endpoint = `http://127.0.0.1:${port}`;
  const server = spawn('moto_server', ['-H', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' });
  context.after(() => server.kill());
  const until = Date.now() + START;
  for (;;) {
    const answered = await fetch(`${endpoint}/moto-api/`).then(() => true, () => false);
    if (answered) break;
    assert.ok(Date.now() < until && server.exitCode === null, 'moto does not answer');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
});

test('a change goes through plan, policy, approval, apply, an empty second plan, drift and destruction', async () => {
  const repository = copyRepository(place, 'moto');
  const root = join(repository, 'roots/eu-central-1');
  cpSync('tests/infrastructure/moto/eu-central-1', root, { recursive: true });
  // moto asks for a signature and looks at none of it.
  const env = { AWS_ACCESS_KEY_ID: 'testing', AWS_SECRET_ACCESS_KEY: 'testing', TF_VAR_endpoint: endpoint };
  const go = (name, ...more) => gate(place, repository, name, root, '--author', 'alice', ...more, { env });
  const passes = (result) => assert.equal(result.status, 0, result.output) ?? result;

  for (const name of ['fmt', 'validate', 'scan', 'plan', 'policy']) passes(go(name));
  assert.deepEqual(blockedBy(go('apply')), ['approval-missing']);
  passes(go('approve', '--approver', 'bob'));
  assert.match(passes(go('apply')).output, /second plan empty/);
  passes(go('drift'));

  // Somebody changes the network beside Terraform.
  const vpc = await vpcId();
  await call('CreateTags', { 'ResourceId.1': vpc, 'Tag.1.Key': 'owner', 'Tag.1.Value': 'nobody' });
  const drifted = go('drift');
  assert.deepEqual([drifted.status, blockedBy(drifted)], [1, ['drift']]);
  assert.match(drifted.output, /aws_vpc\.this tags/);
  for (const [name, ...more] of [['plan'], ['policy'], ['approve', '--approver', 'bob'], ['apply'], ['drift']]) passes(go(name, ...more));

  passes(go('plan', '--destroy-all'));
  assert.deepEqual(blockedBy(go('policy')), ['stateful-deletion']);
  passes(go('approve', '--approver', 'bob', '--destroy', 'aws_vpc.this', '--destroy', 'aws_kms_key.this'));
  passes(go('policy'));
  passes(go('apply', '--destroy-all'));
  passes(go('audit'));
  assert.doesNotMatch(await call('DescribeVpcs', {}), /10\.20\.0\.0\/16/);
});

/** A call of the EC2 query API, which moto answers unsigned. */
async function call(action, parameters) {
  const body = new URLSearchParams({ Action: action, Version: '2016-11-15', ...parameters });
  const headers = { authorization: 'AWS4-HMAC-SHA256 Credential=testing/20261122/eu-central-1/ec2/aws4_request, SignedHeaders=host, Signature=0' };
  const response = await fetch(endpoint, { method: 'POST', body, headers });
  assert.equal(response.status, 200);
  return response.text();
}

async function vpcId() {
  const described = await call('DescribeVpcs', { 'Filter.1.Name': 'cidr', 'Filter.1.Value.1': '10.20.0.0/16' });
  return described.match(/<vpcId>(vpc-\w+)</)[1];
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
