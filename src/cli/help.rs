//! The help of `ekho` itself: commands in groups, and the first steps.

use clap::builder::StyledStr;
use clap::{Command, CommandFactory};

/// Commands by what they are for.
const GROUPS: [(&str, &[&str]); 5] = [
    (
        "Run a relay",
        &[
            "setup",
            "credentials",
            "doctor",
            "serve",
            "health",
            "config",
            "backup",
            "cluster",
            "secrets",
            "debug",
            "import",
        ],
    ),
    (
        "Sign in",
        &["login", "logout", "tokens", "operators", "keys"],
    ),
    (
        "Steer the fleet",
        &[
            "overview",
            "agents",
            "messages",
            "conversations",
            "approvals",
            "policies",
            "dead-letters",
            "hooks",
            "a2a",
            "audit",
            "settings",
            "analytics",
            "fleets",
            "license",
        ],
    ),
    ("Be an agent", &["agent", "mcp"]),
    (
        "More",
        &["openapi", "bench", "completions", "man", "version", "help"],
    ),
];

/// In the order of a first day with it.
pub(super) const FIRST_STEPS: &str = "\
First steps:
  ekho setup           make the data directory, the secrets, a fleet and its owner
  ekho doctor          what would go wrong, and how to mend it
  ekho serve           start the relay, on http://127.0.0.1:4000 unless told otherwise
  ekho token create    a token that lets one agent enrol
  ekho overview        how the fleet stands

`ekho COMMAND --help` has examples of each. Settings are EKHO_* environment variables or keys in
ekho.toml; `ekho config` shows them all.";

/// The command line, its help with the commands in groups.
pub(super) fn grouped<C: CommandFactory>() -> Command {
    let mut command = C::command();
    command.build();
    let styles = command.get_styles();
    let (header, literal) = (styles.get_header(), styles.get_literal());
    let width = names().map(str::len).max().unwrap_or_default();
    let mut text = String::new();
    for (title, names) in GROUPS {
        text.push_str(&format!("{header}{title}:{header:#}\n"));
        for name in names {
            let about = command
                .find_subcommand(name)
                .and_then(Command::get_about)
                .map(ToString::to_string)
                .unwrap_or_default();
            let fill = width - name.len();
            text.push_str(&format!(
                "  {literal}{name}{literal:#}{:fill$}  {about}\n",
                ""
            ));
        }
        text.push('\n');
    }
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{text}{header}Options:{header:#}\n\
         {{options}}{{after-help}}"
    );
    command.help_template(StyledStr::from(template))
}

fn names() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().flat_map(|(_, names)| names.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_command_is_in_one_group() {
        let mut cli = Cli::command();
        cli.build();
        let mut there: Vec<&str> = cli.get_subcommands().map(Command::get_name).collect();
        let mut grouped: Vec<&str> = names().collect();
        there.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(grouped, there);
    }

    #[test]
    fn help_has_the_groups_and_the_first_steps() {
        let help = grouped::<Cli>().render_help().to_string();
        for text in [
            "Run a relay:\n  setup          Make the data directory",
            "Steer the fleet:\n  overview       How the fleet stands",
            "  dead-letters   ",
            "Options:\n  -h, --help",
            "First steps:",
            "Usage: ekho <COMMAND>",
        ] {
            assert!(help.contains(text), "no {text:?} in {help}");
        }
    }
}
