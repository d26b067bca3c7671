// The tables of the modules' READMEs, made from variables.tf and outputs.tf.
//
//     node tests/infrastructure/readme.mjs            compare; exit code 1 and the names of those that differ
//     node tests/infrastructure/readme.mjs --write    write
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { declarations } from './hcl.mjs';

const BEGIN = '<!-- made by tests/infrastructure/readme.mjs from variables.tf and outputs.tf -->';
const END = '<!-- end -->';
const modules = 'terraform/modules';

/** @returns {string[]} The READMEs that are not what they should be. */
export function stale(write = false) {
  const found = [];
  for (const cloud of readdirSync(modules)) {
    for (const module of readdirSync(join(modules, cloud))) {
      const folder = join(modules, cloud, module);
      const path = join(folder, 'README.md');
      const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
      const wanted = readme(folder, text, cloud, module);
      if (text === wanted) continue;
      found.push(path);
      if (write) writeFileSync(path, wanted);
    }
  }
  return found;
}

function readme(folder, text, cloud, module) {
  const begins = text.indexOf(BEGIN);
  const ends = text.indexOf(END);
  const before = begins < 0 ? `# ${cloud}/${module}\n\n${introduction(folder)}\n\n` : text.slice(0, begins);
  const after = ends < 0 ? '\n' : text.slice(ends + END.length);
  return `${before}${BEGIN}\n\n${tables(folder)}\n${END}${after}`;
}

/** The comment that main.tf opens with. */
function introduction(folder) {
  const lines = readFileSync(join(folder, 'main.tf'), 'utf8').split('\n');
  const count = lines.findIndex((line) => !line.startsWith('#'));
  return lines.slice(0, count).map((line) => line.replace(/^# ?/, '')).join('\n');
}

function tables(folder) {
  const variables = declarations(join(folder, 'variables.tf'), 'variable');
  const outputs = declarations(join(folder, 'outputs.tf'), 'output');
  const types = variables.filter(({ type }) => type.includes('\n'));
  return [
    '| variable | type | default | meaning |',
    '|---|---|---|---|',
    ...variables.map((each) => row(each.name, each.type.includes('\n') ? 'object, below' : code(each.type), each.default ? code(each.default) : '', each.description)),
    '',
    '| output | meaning |',
    '|---|---|',
    ...outputs.map((each) => row(each.name, each.description)),
    '',
    ...types.flatMap(({ name, type }) => ['```hcl', `${name} = ${type}`, '```', '']),
  ].join('\n');
}

const code = (text) => `\`${text}\``;
const row = (name, ...cells) => `| ${[code(name), ...cells.map((cell) => cell.replaceAll('|', '\\|'))].join(' | ')} |`;

if (process.argv[1]?.endsWith('readme.mjs')) {
  const write = process.argv.includes('--write');
  const found = stale(write);
  for (const path of found) console.log(write ? `wrote ${path}` : `not current: ${path}`);
  process.exitCode = found.length > 0 && !write ? 1 : 0;
}
