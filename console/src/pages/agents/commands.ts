// Commands that enrol an agent, one a client library and one without any.

export interface Enrolment {
  url: string;
  fleet: string;
  token: string;
  name: string;
  runtime: string;
}

export const SDKS = ['curl', 'node', 'python', 'rust'] as const;
export type Sdk = (typeof SDKS)[number];

/** For a POSIX shell: whatever is inside means nothing to it. */
export function shellQuote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

const bodyOf = (of: Enrolment): string =>
  JSON.stringify({ fleet_id: of.fleet, token: of.token, display_name: of.name, runtime: of.runtime });

/** A text as a literal of JavaScript, Python and Rust alike. */
const literal = (text: string): string => JSON.stringify(text);

export const COMMANDS: Record<Sdk, (of: Enrolment) => string> = {
  curl: (of) =>
    [
      `curl -sS ${of.url}/v1/enroll \\`,
      `  -H 'content-type: application/json' \\`,
      `  -d ${shellQuote(bodyOf(of))}`,
    ].join('\n'),
  node: (of) =>
    [
      'npm install @ekho/sdk',
      `node --input-type=module -e ${shellQuote(
        [
          "import { EkhoAgentClient } from '@ekho/sdk';",
          `console.log(await EkhoAgentClient.enroll(${literal(of.url)}, ${bodyOf(of)}));`,
        ].join('\n'),
      )}`,
    ].join('\n'),
  python: (of) =>
    [
      'pip install ekho',
      `python3 -c ${shellQuote(
        [
          'from ekho import enroll',
          `agent = enroll(${literal(of.url)}, ${bodyOf(of)})`,
          'print(agent.agent_id, agent.secret)',
        ].join('\n'),
      )}`,
    ].join('\n'),
  rust: (of) =>
    [
      '// cargo add ekho-client tokio --features tokio/full',
      'use ekho_client::{EkhoAgentClient, EnrollRequest};',
      '',
      '#[tokio::main]',
      'async fn main() -> Result<(), Box<dyn std::error::Error>> {',
      `    let mut enrolment = EnrollRequest::new(${literal(of.fleet)}, ${literal(of.token)}, ${literal(of.name)});`,
      `    enrolment.runtime = ${literal(of.runtime)}.into();`,
      `    let agent = EkhoAgentClient::enroll(${literal(of.url)}, &enrolment).await?;`,
      '    println!("{} {}", agent.agent_id, agent.secret); // keep the secret',
      '    Ok(())',
      '}',
    ].join('\n'),
};
