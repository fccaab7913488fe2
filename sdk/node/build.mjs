// Builds the package twice, as ES modules and as CommonJS, each with its types. The TypeScript
// compiler is looked for here, or in the folder that EKHO_NODE_TOOLS names (see check.sh).
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const tools = process.env.EKHO_NODE_TOOLS ?? here;
const tsc = join(tools, 'node_modules', 'typescript', 'bin', 'tsc');

rmSync(join(here, 'dist'), { recursive: true, force: true });
for (const project of ['tsconfig.json', 'tsconfig.cjs.json']) {
  execFileSync(process.execPath, [tsc, '-p', project], { cwd: here, stdio: 'inherit' });
}
// Without it Node would take the files of dist/cjs for ES modules, as the package says of itself.
writeFileSync(join(here, 'dist/cjs/package.json'), '{ "type": "commonjs" }\n');
