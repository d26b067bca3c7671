// docs/openapi.yaml says what the server answers: thousands of requests that it describes, valid and not, are compared.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from './support/files.mjs';
import { startPython } from './support/python.mjs';
import { startServer } from './support/server.mjs';

const DESCRIPTION = fileURLToPath(new URL('../../docs/openapi.yaml', import.meta.url));
// Without this the comparison could pass on requests that are all refused.
const ANSWERED = {
  'POST /files': ['201', '400', '412'],
  'PUT /files': ['201'],
  'HEAD /files/{tenant}/{id}/{key}': ['200', '204', '404', '410'],
  'GET /files/{tenant}/{id}/{key}': ['200', '204', '409'],
  'PATCH /files/{tenant}/{id}/{key}': ['204', '409'],
  'DELETE /files/{tenant}/{id}/{key}': ['204'],
  'GET /tasks': ['200', '400'],
  'GET /tasks/{id}': ['200', '410'],
  'POST /tasks/{id}/pause': ['200', '409'],
  'GET /events/{id}': ['200'],
  'POST /api/{method}': ['200', '400'],
};

// Milliseconds; many times what it takes.
const DEADLINE = 240_000;

/** Compares the server with a description by `cases` requests an operation; cases, statuses and failures by its name. */
async function compare(t, server, description, cases) {
  const script = startPython(t, 'openapi_conformance.py', [description, server.origin, '--cases', cases]);
  const lines = await script.ended(DEADLINE);
  return new Map(lines.map((line) => [line.operation, line]));
}

test('the server answers as its OpenAPI description says', async (t) => {
  const server = await startServer(t);
  const operations = await compare(t, server, DESCRIPTION, 60);
  assert.deepEqual([...operations.values()].flatMap(({ failures }) => failures), []);
  for (const [operation, wanted] of Object.entries(ANSWERED)) {
    const { statuses } = operations.get(operation);
    const missing = wanted.filter((status) => !(status in statuses));
    assert.deepEqual(missing, [], `${operation} was answered ${JSON.stringify(statuses)}`);
  }
});

test('a description that leaves a status out is found wrong', async (t) => {
  const server = await startServer(t);
  const text = await readFile(DESCRIPTION, 'utf8');
  const wrong = text.replaceAll(/^ +"410": .*\n/gm, '');
  assert.notEqual(wrong, text);
  const file = await (await temporaryFolder(t)).write('openapi.yaml', wrong);
  const operations = await compare(t, server, file, 20);
  assert.ok(operations.get('GET /tasks/{id}').failures.some((failure) => failure.includes('410')));
});
