// The modules: one shape on two clouds, tested by `terraform test` on the schema stub, and every refusal tried.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { declarations } from './hcl.mjs';
import { stale } from './readme.mjs';
import { CLOUDS, MODULES, terraform, workplace } from './support.mjs';

const tracked = execFileSync('git', ['ls-files', '-z', 'terraform', 'tests/infrastructure'], { encoding: 'utf8' }).split('\0').filter(Boolean);
const code = tracked.filter((path) => path.endsWith('.tf') && !path.includes('/known-bad/'));
const EACH = CLOUDS.flatMap((cloud) => MODULES.map((module) => `${cloud}/${module}`));

let place;
before((context) => {
  place = workplace(context);
});

test('code is formatted', () => {
  const { status, output } = terraform(place, 'terraform', 'fmt', '-check', '-recursive');
  assert.equal(status, 0, output);
});

for (const module of MODULES) {
  test(`${module} has the same variables and outputs on both clouds`, () => {
    const [aws, alicloud] = CLOUDS.map((cloud) => shape(`terraform/modules/${cloud}/${module}`));
    assert.deepEqual(alicloud, aws);
    assert.ok(aws.outputs.length > 0);
  });
}

function shape(folder) {
  const variables = declarations(join(folder, 'variables.tf'), 'variable');
  const outputs = declarations(join(folder, 'outputs.tf'), 'output');
  for (const { name, description, type } of variables) assert.ok(description && type, `${folder}: ${name} is not described or typed`);
  for (const { name, description } of outputs) assert.ok(description, `${folder}: ${name} is not described`);
  // What a value must look like differs (an account, a region); what it is and means does not.
  return {
    variables: variables.map(({ validations, ...rest }) => ({ ...rest, validations: validations.length })),
    outputs: outputs.map(({ name }) => name),
  };
}

test('modules are ordered, pinned on both sides, and name no provider, no secret default, no list by index', () => {
  for (const module of EACH) {
    const folder = `terraform/modules/${module}`;
    const text = code.filter((path) => path.startsWith(`${folder}/`) && !path.includes('/examples/')).map((path) => readFileSync(path, 'utf8')).join('\n');
    assert.doesNotMatch(text, /^provider "/m, `${module} has a provider block`);
    assert.doesNotMatch(text, /^\s*count\s+=/m, `${module} counts: an index shifts, a key stays`);
    assert.match(text, /required_version = ">= 1\.11, < 2\.0"/, module);
    assert.match(text, /version = ">= [\d.]+, < \d+\.0"/, `${module} has no upper bound on its provider`);
    const names = declarations(join(folder, 'variables.tf'), 'variable').map(({ name }) => name);
    assert.deepEqual(names, names.toSorted(), `${module}: variables are not in alphabetical order`);
  }
});

test('what terraform test finds by itself reaches no cloud: every test mocks its provider', () => {
  for (const path of tracked.filter((each) => /\/tests\/.*\.tftest\.hcl$/.test(each))) {
    assert.match(readFileSync(path, 'utf8'), /^mock_provider "/m, path);
  }
});

test('no lock file of providers is committed', () => {
  assert.deepEqual(tracked.filter((path) => path.endsWith('.terraform.lock.hcl')), []);
});

test('roots of one cloud differ in region.auto.tfvars and backend.hcl only', () => {
  const roots = [...new Set(tracked.filter((path) => path.startsWith('terraform/regions/')).map((path) => path.split('/')[2]))];
  const texts = {};
  for (const root of roots) {
    const main = readFileSync(`terraform/regions/${root}/main.tf`, 'utf8');
    const cloud = main.match(/^provider "(\w+)"/m)[1];
    for (const file of ['main.tf', 'variables.tf', 'outputs.tf', 'versions.tf', 'platform.auto.tfvars']) {
      const text = readFileSync(`terraform/regions/${root}/${file}`, 'utf8');
      const key = file === 'platform.auto.tfvars' ? file : `${cloud} ${file}`;
      texts[key] ??= text;
      assert.equal(text, texts[key], `${root}/${file}`);
    }
  }
  assert.ok(roots.length >= 2);
});

test('the tables of the READMEs are current', () => {
  assert.deepEqual(stale(), [], 'run: node tests/infrastructure/readme.mjs --write');
});

for (const module of MODULES) {
  test(`the tests of ${module} refuse the same on both clouds`, () => {
    const [aws, alicloud] = CLOUDS.map((cloud) => {
      const text = readFileSync(`terraform/modules/${cloud}/${module}/tests/unit.tftest.hcl`, 'utf8');
      return [...text.matchAll(/^run "(\w+)"[\s\S]*?^\}/gm)].map(([block, name]) => [name, block.match(/expect_failures = \[(.*)\]/)?.[1]]);
    });
    assert.deepEqual(alicloud, aws);
  });
}

for (const module of EACH) {
  test(`${module}: terraform test passes, each validation is noticed, the example is valid`, () => {
    const folder = join(place.folder, 'modules', module);
    cpSync(`terraform/modules/${module}`, folder, { recursive: true });
    initialise(folder);
    const { status, output } = terraform(place, folder, 'test', '-no-color');
    assert.equal(status, 0, output);
    assert.match(output, /[1-9]\d* passed, 0 failed\./);
    const contract = terraform(place, folder, 'test', '-no-color', '-test-directory=contract');
    assert.equal(contract.status, 0, contract.output);
    assert.match(contract.output, /1 passed, 0 failed\./);

    const variables = join(folder, 'variables.tf');
    const sound = readFileSync(variables, 'utf8');
    // The twins have the same runs (below), so what they validate in the same words is tried once.
    const twin = module.startsWith('aws/') ? '' : readFileSync(`terraform/modules/aws/${module.split('/')[1]}/variables.tf`, 'utf8');
    const validations = declarations(variables, 'variable').flatMap((each) => each.validations.map((text) => [each.name, text]));
    assert.ok(validations.length > 0);
    for (const [name, validation] of validations.filter(([, text]) => !twin.includes(text))) {
      const weak = validation.replace(/condition +=[\s\S]*?(?=\n    error_message)/, `condition = true || var.${name} == null`);
      writeFileSync(variables, sound.replace(validation, weak));
      const weakened = terraform(place, folder, 'test', '-no-color', '-filter=tests/unit.tftest.hcl');
      assert.notEqual(weakened.status, 0, `no run notices that this validation is gone:\n${validation}`);
      assert.match(weakened.output, /expect_failures|Missing expected failure/i, weakened.output);
    }
    writeFileSync(variables, sound);

    const example = join(folder, 'examples/default');
    initialise(example);
    const valid = terraform(place, example, 'validate', '-no-color');
    assert.equal(valid.status, 0, valid.output);
  });
}

function initialise(folder) {
  const { status, output } = terraform(place, folder, 'init', '-no-color', '-backend=false');
  assert.equal(status, 0, output);
}
