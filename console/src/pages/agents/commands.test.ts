import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { COMMANDS, shellQuote } from './commands';

const nasty = `It's "the $HOME" \`id\` \\`;
const enrolment = {
  url: 'http://127.0.0.1:4000',
  fleet: 'flt_1',
  token: 'ent_1',
  name: nasty,
  runtime: 'custom',
};

it('passes any name through a shell unharmed', () => {
  expect(execFileSync('sh', ['-c', `printf %s ${shellQuote(nasty)}`], { encoding: 'utf8' })).toBe(nasty);
});

it('gives curl a body that is JSON', () => {
  const body = execFileSync(
    'sh',
    ['-c', COMMANDS.curl(enrolment).replace(/^curl -sS \S+/, 'printf "%s\\n"')],
    { encoding: 'utf8' },
  );
  const json = body.split('\n').at(-2) ?? '';
  expect(JSON.parse(json)).toEqual({
    fleet_id: 'flt_1',
    token: 'ent_1',
    display_name: nasty,
    runtime: 'custom',
  });
});

it('gives Node a program', () => {
  const program = execFileSync(
    'sh',
    [
      '-c',
      COMMANDS.node(enrolment)
        .split('\n')
        .slice(1)
        .join('\n')
        .replace('node --input-type=module -e', 'printf %s'),
    ],
    { encoding: 'utf8' },
  );
  expect(program).toContain(JSON.stringify(nasty));
});
