// Reads the declarations of a module's variables.tf and outputs.tf: blocks at the margin, as `terraform fmt` leaves them.
import { readFileSync } from 'node:fs';

/** @returns {{name: string, description: string, type?: string, default?: string, validations: string[]}[]} */
export function declarations(path, kind) {
  const blocks = readFileSync(path, 'utf8').matchAll(new RegExp(`^${kind} "([a-z_]+)" \\{\\n([\\s\\S]*?)^\\}`, 'gm'));
  return [...blocks].map(([, name, body]) => ({
    name,
    description: described(body),
    type: attribute(body, 'type'),
    default: attribute(body, 'default'),
    validations: [...body.matchAll(/^  validation \{\n[\s\S]*?^  \}/gm)].map(([text]) => text),
  }));
}

function described(body) {
  const heredoc = body.match(/^  description = <<-EOT\n([\s\S]*?)^  EOT/m);
  const text = heredoc ? heredoc[1] : JSON.parse(body.match(/^  description = (".*")$/m)?.[1] ?? '""');
  return text.split('\n').map((line) => line.trim()).join(' ').trim();
}

/** An attribute's expression: the rest of its line and the lines below that are deeper. */
function attribute(body, name) {
  const found = body.match(new RegExp(`^  ${name} += (.*(?:\\n(?:    .*|  [\\])}].*))*)`, 'm'));
  return found?.[1].split('\n').map((line) => line.replace(/^  /, '')).join('\n');
}
