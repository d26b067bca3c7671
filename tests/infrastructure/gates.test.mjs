// The gates by hand and as CI runs them: whole regions on the schema stub, risky changes that are blocked with the cure,
// harmless ones that pass, and gates that notice when they themselves are blind.
import assert from 'node:assert/strict';
import { appendFileSync, cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { blockedBy, copyRepository, gate, gateMeanwhile, read, terraform, withLocalState, workplace } from './support.mjs';

let place;
before((context) => {
  place = workplace(context);
});

function passes(result) {
  assert.equal(result.status, 0, result.output);
  return result;
}

/** A root of a few lines in a folder named as a region, in a copy of the repository. */
function smallRoot(repository, text, { cloud = 'aws', region = cloud === 'aws' ? 'eu-central-1' : 'cn-hangzhou' } = {}) {
  const root = join(repository, 'small', region);
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root, { recursive: true });
  const source = { aws: 'hashicorp/aws', alicloud: 'aliyun/alicloud' }[cloud];
  writeFileSync(join(root, 'main.tf'), `terraform {
  required_providers {
    ${cloud} = {
      source = "${source}"
    }
  }
}

provider "${cloud}" {
  region = "${region}"
}

${text}`);
  return root;
}

for (const region of ['eu-central-1', 'cn-hangzhou']) {
  test(`${region} goes through every gate to an empty second plan`, () => {
    const repository = copyRepository(place, `whole-${region}`);
    const root = join(repository, 'terraform/regions', region);
    withLocalState(root);
    for (const name of ['fmt', 'validate', 'scan', 'plan', 'policy']) passes(gate(place, repository, name, root, '--author', 'alice'));
    assert.match(read(join(root, '.gate/checkov.sarif')), /"version": *"2\.1\.0"/);

    const early = gate(place, repository, 'apply', root, '--author', 'alice');
    assert.deepEqual([early.status, blockedBy(early)], [1, ['approval-missing']]);
    passes(gate(place, repository, 'approve', root, '--author', 'alice', '--approver', 'alice'));
    assert.deepEqual(blockedBy(gate(place, repository, 'apply', root, '--author', 'alice')), ['approval-by-author']);
    passes(gate(place, repository, 'approve', root, '--author', 'alice', '--approver', 'bob'));
    const applied = passes(gate(place, repository, 'apply', root, '--author', 'alice'));
    assert.match(applied.output, /second plan empty/);
    passes(gate(place, repository, 'drift', root));

    // A protected cluster that somebody takes out of the code is not taken out of the cloud.
    writeFileSync(join(root, 'main.tf'), readFileSync(join(root, 'main.tf'), 'utf8').replace(/module "storage" [\s\S]*?\n\}\n/, '').replace('module.storage.key_id', '"key"'));
    passes(gate(place, repository, 'plan', root, '--author', 'alice'));
    assert.deepEqual(blockedBy(gate(place, repository, 'policy', root, '--author', 'alice')), ['stateful-deletion']);

    passes(gate(place, repository, 'audit', root));
    const record = join(root, '.gate/audit.jsonl');
    writeFileSync(record, read(record).replace('"bob"', '"eve"'));
    assert.deepEqual(blockedBy(gate(place, repository, 'audit', root)), ['audit-chain-broken']);
  });
}

test('a third region is ten copied lines, and wrong ones are told what is wrong', () => {
  const repository = copyRepository(place, 'third');
  const regions = join(repository, 'terraform/regions');
  const root = join(regions, 'eu-west-1');
  cpSync(join(regions, 'eu-central-1'), root, { recursive: true });
  withLocalState(root);
  const tenLines = readFileSync(join(root, 'region.auto.tfvars'), 'utf8').replaceAll('eu-central-1', 'eu-west-1').replace('windlass-eu', 'windlass-ie').replaceAll('10.20.', '10.40.').replace('eu.example.com', 'ie.example.com');
  assert.ok(tenLines.trim().split('\n').length <= 11, 'a comment and ten lines');
  const judged = (text) => {
    writeFileSync(join(root, 'region.auto.tfvars'), text);
    const planned = gate(place, repository, 'plan', root, '--author', 'alice');
    return planned.status === 0 ? gate(place, repository, 'policy', root, '--author', 'alice') : planned;
  };
  passes(judged(tenLines));

  assert.deepEqual(blockedBy(judged(tenLines.replace('region         = "eu-west-1"', 'region         = "us-east-1"'))), ['provider-elsewhere']);
  assert.deepEqual(blockedBy(judged(tenLines.replace('m7g.large', 'p5.48xlarge'))), ['instance-type-not-allowed']);
  assert.deepEqual(blockedBy(judged(tenLines.replace('max_size = 9', 'max_size = 90'))), ['too-many-nodes']);
  assert.match(judged(tenLines.replace('= 2 }', '= 1 }')).output, /\[plan-refused\].*Give a new zone the next free number/);
  assert.match(judged(tenLines.replace('"111122223333"', '"1111"')).output, /Write the 12 digits/);
  assert.match(judged(tenLines.replace('owner = "platform", ', '')).output, /tags has no owner/);

  renameSync(root, join(regions, 'ap-southeast-2'));
  const nowhere = join(regions, 'ap-southeast-2');
  writeFileSync(join(nowhere, 'region.auto.tfvars'), tenLines.replaceAll('eu-west-1', 'ap-southeast-2'));
  passes(gate(place, repository, 'plan', nowhere, '--author', 'alice'));
  assert.deepEqual(blockedBy(gate(place, repository, 'policy', nowhere, '--author', 'alice')), ['region-not-allowed']);
});

const BUCKET = (name, more = '') => `
resource "aws_kms_key" "${name}" {
  enable_key_rotation = true
}
resource "aws_s3_bucket" "${name}" {
  bucket = "example-${name}"
}
resource "aws_s3_bucket_server_side_encryption_configuration" "${name}" {
  bucket = aws_s3_bucket.${name}.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.${name}.arn
    }
  }
}
${more}`;
const CLOSED = (name) => `
resource "aws_s3_bucket_public_access_block" "${name}" {
  bucket                  = aws_s3_bucket.${name}.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}`;
const INGRESS = (cidr, port) => `
resource "aws_vpc_security_group_ingress_rule" "in" {
  security_group_id = "sg-1"
  ip_protocol       = "tcp"
  from_port         = ${port}
  to_port           = ${port}
  cidr_ipv4         = ${cidr}
}`;
const VOLUME = (encrypted) => `
resource "aws_ebs_volume" "data" {
  availability_zone = "eu-central-1a"
  size              = 10
  encrypted         = ${encrypted}
}`;
const TRUST = (subject, operator) => `
resource "aws_iam_role" "ci" {
  name               = "ci"
  assume_role_policy = jsonencode({
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = "arn:aws:iam::111122223333:oidc-provider/ci.example.com" }
      Condition = { ${operator} = { "ci.example.com:sub" = "${subject}" } }
    }]
  })
}`;
const GROUP = (type, most) => `
resource "aws_eks_node_group" "general" {
  cluster_name   = "windlass"
  node_role_arn  = "arn:aws:iam::111122223333:role/node"
  subnet_ids     = ["subnet-1"]
  instance_types = ["${type}"]
  scaling_config {
    desired_size = 1
    min_size     = 1
    max_size     = ${most}
  }
}`;
const CLUSTER = (internet) => `
resource "alicloud_kms_key" "this" {
  automatic_rotation  = "Enabled"
  deletion_protection = "Enabled"
}
resource "alicloud_cs_managed_kubernetes" "this" {
  name                    = "windlass"
  vswitch_ids             = ["vsw-1"]
  encryption_provider_key = alicloud_kms_key.this.id
  deletion_protection     = true
  ${internet}
  audit_log_config {
    enabled = true
  }
}`;
const READERS = (principal, bucket = '"example-bucket"') => `
resource "aws_s3_bucket_policy" "bucket" {
  bucket = "example-bucket"
  policy = jsonencode({
    Statement = [{ Effect = "Allow", Principal = ${principal}, Action = "s3:GetObject", Resource = "arn:aws:s3:::\${${bucket}}/*" }]
  })
}`;

/** What is changed, the rule that must block it (null: none), the text of the root, and its cloud. */
const CHANGES = [
  ['a bucket that is open to the public', 'bucket-not-closed', BUCKET('uploads')],
  ['a bucket that is closed', null, BUCKET('uploads', CLOSED('uploads'))],
  ['SSH from 0.0.0.0/0', 'open-ingress', INGRESS('"0.0.0.0/0"', 22)],
  ['HTTPS from 0.0.0.0/0', null, INGRESS('"0.0.0.0/0"', 443)],
  ['ingress from a range that nobody knows yet', 'ingress-unknown', `${INGRESS('"${aws_eip.vpn.public_ip}/32"', 22)}\nresource "aws_eip" "vpn" {\n  domain = "vpc"\n}`],
  ['ingress from a range that is written down', null, INGRESS('"203.0.113.7/32"', 22)],
  ['a volume without encryption', 'volume-unencrypted', VOLUME(false)],
  ['a volume with encryption', null, VOLUME(true)],
  ['a role for any branch of any repository', 'trust-everybody', TRUST('repo:example/*', 'StringLike')],
  ['a role for one branch', null, TRUST('repo:example/platform:ref:refs/heads/main', 'StringEquals')],
  ['machines that nobody agreed to', 'instance-type-not-allowed', GROUP('p5.48xlarge', 3)],
  ['machines as agreed', null, GROUP('m7g.large', 3)],
  ['a group without a sensible end', 'too-many-nodes', GROUP('m7g.large', 500)],
  ['a group at its limit', null, GROUP('m7g.large', 30)],
  ['an ACK endpoint left to the default', 'public-endpoint', CLUSTER(''), 'alicloud'],
  ['a private ACK endpoint', null, CLUSTER('slb_internet_enabled = false'), 'alicloud'],
  ['a bucket policy for everybody', 'bucket-policy-public', READERS('"*"')],
  ['a bucket policy for one role', null, READERS('{ AWS = "arn:aws:iam::111122223333:role/reader" }')],
  ['a bucket policy that is known after apply', 'bucket-policy-unknown', `${READERS('{ AWS = "arn:aws:iam::111122223333:role/reader" }', 'aws_kms_key.k.id')}\nresource "aws_kms_key" "k" {\n  enable_key_rotation = true\n}`],
];

test('risky changes are blocked by their rule with the cure, harmless ones pass', async (context) => {
  const repository = copyRepository(place, 'changes');
  for (const [what, rule, text, cloud] of CHANGES) {
    await context.test(what, () => {
      const root = smallRoot(repository, text, { cloud });
      passes(gate(place, repository, 'plan', root, '--author', 'alice'));
      const judged = gate(place, repository, 'policy', root, '--author', 'alice');
      assert.deepEqual(blockedBy(judged), rule ? [rule] : [], judged.output);
      assert.equal(judged.status, rule ? 1 : 0, judged.output);
      if (rule) assert.match(judged.output, /Instead: .{10,}/);
    });
  }
});

test('a database is not deleted or replaced by a plan that nobody approved for it', () => {
  const repository = copyRepository(place, 'database');
  const database = `resource "aws_db_instance" "main" {
  instance_class      = "db.m7g.large"
  engine              = "mariadb"
  storage_encrypted   = true
  publicly_accessible = false
  deletion_protection = true
}
`;
  const root = smallRoot(repository, database);
  const go = (name, ...more) => gate(place, repository, name, root, '--author', 'alice', ...more);
  for (const [name, ...more] of [['plan'], ['policy'], ['approve', '--approver', 'bob'], ['apply']]) passes(go(name, ...more));
  writeFileSync(join(root, 'main.tf'), readFileSync(join(root, 'main.tf'), 'utf8').replace(database, ''));
  passes(go('plan'));
  assert.deepEqual(blockedBy(go('policy')), ['stateful-deletion']);
  passes(go('approve', '--approver', 'bob'));
  assert.deepEqual(blockedBy(go('apply')), ['stateful-deletion'], 'an approval that does not name it');
  passes(go('approve', '--approver', 'bob', '--destroy', 'aws_db_instance.main'));
  // What was written beside the plan does not count.
  writeFileSync(join(root, '.gate/plan.json'), '{"format_version": "1.2", "resource_changes": []}');
  assert.deepEqual(blockedBy(gate(place, repository, 'apply', root, '--author', 'bob')), ['approval-by-author', 'stateful-deletion']);
  // Somebody plans once more after the approval: the approval is for the other plan.
  const approval = read(join(root, '.gate/approval.json'));
  passes(go('plan'));
  writeFileSync(join(root, '.gate/approval.json'), approval);
  assert.deepEqual(blockedBy(go('apply')), ['approval-of-another-plan', 'stateful-deletion']);
  passes(go('approve', '--approver', 'bob', '--destroy', 'aws_db_instance.main'));
  passes(go('apply'));
});

test('manifests are judged: latest, privileged and no network policy are blocked, the hardened sample passes', async (context) => {
  const repository = copyRepository(place, 'manifests');
  const sample = readFileSync('tests/infrastructure/manifests/upload.yaml', 'utf8');
  const changes = [
    ['as it is', [], (text) => text],
    ['another memory limit', [], (text) => text.replace('memory: 512Mi', 'memory: 1Gi')],
    ['more replicas', [], (text) => text.replace('replicas: 2', 'replicas: 5')],
    ['latest', ['image-not-pinned'], (text) => text.replace(/@sha256:[0-9a-f]{64}/, ':latest')],
    ['privileged', ['privileged'], (text) => text.replace('readOnlyRootFilesystem: true', 'readOnlyRootFilesystem: true\n            privileged: true')],
    ['no network policy', ['network-policy-missing'], (text) => text.split('---\n').filter((part) => !part.includes('kind: NetworkPolicy')).join('---\n')],
  ];
  for (const [what, rules, change] of changes) {
    await context.test(what, () => {
      const folder = join(repository, 'rendered', what.replaceAll(' ', '-'));
      mkdirSync(folder, { recursive: true });
      const changed = change(sample);
      assert.ok(what === 'as it is' || changed !== sample, 'the change changed nothing');
      writeFileSync(join(folder, 'upload.yaml'), changed);
      const judged = gate(place, repository, 'manifests', folder);
      assert.deepEqual([judged.status, blockedBy(judged)], [rules.length ? 1 : 0, rules], judged.output);
    });
  }
});

test('a blocked change is told to the job summary and to the alert receiver', async (context) => {
  const repository = copyRepository(place, 'told');
  const root = smallRoot(repository, VOLUME(false));
  passes(gate(place, repository, 'plan', root, '--author', 'alice'));
  const heard = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (data) => (body += data));
    request.on('end', () => {
      heard.push(JSON.parse(body));
      response.end();
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => server.close());
  const summary = join(place.folder, 'summary.md');
  const env = { GITHUB_STEP_SUMMARY: summary, WINDLASS_ALERT_WEBHOOK: `http://127.0.0.1:${server.address().port}/` };
  const judged = await gateMeanwhile(place, repository, ['policy', root, '--author', 'alice'], env);
  assert.equal(judged.status, 1, judged.output);
  assert.match(read(summary), /\*\*volume-unencrypted\*\* `aws_ebs_volume.data`[\s\S]*Instead: /);
  assert.deepEqual([heard[0].gate, heard[0].author, heard[0].findings[0].rule], ['policy', 'alice', 'volume-unencrypted']);
});

test('a gate that is blind says so and passes nothing', async (context) => {
  const repository = copyRepository(place, 'blind');
  const root = smallRoot(repository, VOLUME(false));
  passes(gate(place, repository, 'plan', root, '--author', 'alice'));
  const blind = (what, change, name, ...words) => context.test(what, () => {
    change();
    const result = gate(place, repository, name, root, ...words);
    assert.equal(result.status, 2, result.output);
    assert.match(result.output, /could not look, so nothing passes/);
  });
  const policy = join(repository, 'policies/terraform/encryption/policy.rego');
  const sound = readFileSync(policy, 'utf8');
  await blind('a rule that no longer bites', () => writeFileSync(policy, sound.replace('some change in plan.remaining.aws_launch_template\n', 'some change in plan.remaining.aws_launch_templates\n')), 'policy', '--author', 'alice');
  await blind('a policy of another package', () => writeFileSync(policy, sound.replace('package windlass.terraform.encryption', 'package windlass.terraform.encrypted')), 'policy', '--author', 'alice');
  await blind('a builtin outside of what both engines have', () => writeFileSync(policy, `${sound}\nx := http.send({"method": "get", "url": "http://127.0.0.1"})\n`), 'policy', '--author', 'alice');
  writeFileSync(policy, sound);
  await blind('no plan', () => rmSync(join(root, '.gate/plan.tfplan')), 'policy', '--author', 'alice');
  const checks = join(repository, 'terraform/gates/checks.json');
  await blind('a check that finds nothing bad', () => writeFileSync(checks, read(checks).replace('CKV2_WL_7', 'CKV2_WL_9')), 'scan');
});

test('a skip of a check needs a reason', () => {
  const repository = copyRepository(place, 'skips');
  const root = smallRoot(repository, VOLUME(true));
  appendFileSync(join(root, 'main.tf'), '\n#checkov:skip=CKV_AWS_7:\n');
  assert.deepEqual(blockedBy(gate(place, repository, 'scan', root)), ['skip-without-reason']);
});

test('replacing what cannot be changed in place is a deletion', () => {
  const repository = copyRepository(place, 'replace');
  const volume = (zone) => `resource "alicloud_ecs_disk" "data" {\n  zone_id   = "${zone}"\n  disk_name = "data"\n  size      = 20\n  encrypted = true\n}\n`;
  const root = smallRoot(repository, volume('cn-hangzhou-h'), { cloud: 'alicloud' });
  const go = (name, ...more) => gate(place, repository, name, root, '--author', 'alice', ...more);
  for (const [name, ...more] of [['plan'], ['approve', '--approver', 'bob'], ['apply']]) passes(go(name, ...more));
  writeFileSync(join(root, 'main.tf'), readFileSync(join(root, 'main.tf'), 'utf8').replace('cn-hangzhou-h', 'cn-hangzhou-i'));
  passes(go('plan'));
  assert.match(terraform(place, root, 'show', '-no-color', '.gate/plan.tfplan').output, /must be replaced/);
  assert.deepEqual(blockedBy(go('policy')), ['stateful-deletion']);
});
