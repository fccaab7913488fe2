//! The questions of `ekho setup` at a terminal. Nothing is made before the last one is answered.
//!
//! Questions go to standard error, as everything that is not a result.

use std::io::{self, ErrorKind, IsTerminal};
use std::net::{IpAddr, UdpSocket};
use std::path::Path;

use dialoguer::console::Term;
use dialoguer::theme::ColorfulTheme;
use dialoguer::{Confirm, Input, Password, Select};

use super::node::{Mode, Network, NodeArgs};
use super::owner::Check;
use crate::cli::doctor::{self, Status};
use crate::cli::{CliError, say};
use crate::config::Config;
use crate::service::cluster::join::check_address;
use crate::tailnet;

const NODE_PORT: u16 = 4001;
/// An address for documentation (RFC 5737): the kernel says how it would go there, nothing is sent.
const FAR_AWAY: &str = "192.0.2.1:9";

/// Whether somebody can be asked.
pub(super) fn has_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

fn answered<T>(answer: dialoguer::Result<T>) -> Result<T, CliError> {
    answer.map_err(|dialoguer::Error::IO(error)| match error.kind() {
        // Ctrl-C, or the end of the input. Lists hide the cursor while they are asked.
        ErrorKind::Interrupted | ErrorKind::UnexpectedEof => {
            let shown = Term::stderr().show_cursor();
            shown.err().map_or(CliError::NotSure, CliError::Output)
        }
        _ => CliError::Output(error),
    })
}

/// A line of text.
pub(super) fn text(question: &str, default: &str, check: Check) -> Result<String, CliError> {
    line(question, Some(default), |text| {
        check(text).map_err(|error| error.to_string())
    })
}

fn line(
    question: &str,
    default: Option<&str>,
    check: impl Fn(&str) -> Result<(), String>,
) -> Result<String, CliError> {
    let theme = ColorfulTheme::default();
    let mut input = Input::with_theme(&theme).with_prompt(question);
    if let Some(default) = default {
        input = input.default(default.to_string());
    }
    let input = input.validate_with(|text: &String| check(text));
    answered(input.interact_text())
}

/// A password, twice; none where one is to be made.
pub(super) fn password(check: Check) -> Result<Option<String>, CliError> {
    let theme = ColorfulTheme::default();
    let password = Password::with_theme(&theme)
        .with_prompt("Owner's password (empty: make one)")
        .allow_empty_password(true)
        .with_confirmation("The same again", "the two differ")
        .validate_with(|text: &String| match text.is_empty() {
            true => Ok(()),
            false => check(text).map_err(|error| error.to_string()),
        });
    let password = answered(password.interact())?;
    Ok((!password.is_empty()).then_some(password))
}

/// Yes or no.
pub(super) fn confirm(question: &str, default: bool) -> Result<bool, CliError> {
    let theme = ColorfulTheme::default();
    let confirm = Confirm::with_theme(&theme)
        .with_prompt(question)
        .default(default);
    answered(confirm.interact())
}

fn select(question: &str, items: &[String], default: usize) -> Result<usize, CliError> {
    let theme = ColorfulTheme::default();
    let select = Select::with_theme(&theme)
        .with_prompt(question)
        .items(items)
        .default(default);
    answered(select.interact())
}

/// Shows what would keep a relay from running well here, and asks whether to go on all the same.
pub(super) async fn environment(config: &Config) -> Result<(), CliError> {
    say("This machine:");
    let findings = doctor::look_at_machine(config).await;
    say(&doctor::render(&findings));
    say("");
    let is_bad = findings.iter().any(|one| one.status == Status::Fail);
    match is_bad
        && !confirm(
            "Something has to be mended first. Go on all the same?",
            false,
        )? {
        true => Err(CliError::NotSure),
        false => Ok(()),
    }
}

/// Asks where the data is to be.
pub(super) fn data_dir(default: &Path) -> Result<String, CliError> {
    line(
        "Data directory, on a local disk",
        Some(&default.display().to_string()),
        |text| match Path::new(text).is_file() {
            true => Err("that is a file".into()),
            false => Ok(()),
        },
    )
}

/// Asks what the node is to be and how it is reached; what flags say already is not asked.
pub(super) async fn node(args: &mut NodeArgs, config: &Config) -> Result<(), CliError> {
    let mode = match args.mode {
        Some(mode) => mode,
        None => {
            let items = [
                "one node, alone",
                "the first of several nodes",
                "one more node of a cluster that is there",
            ];
            Mode::ALL[select("This node is to be", &items.map(String::from), 0)?]
        }
    };
    args.mode = Some(mode);
    let in_tailnet = tailnet::status(&config.tailscaled_socket).await;
    let in_tailnet = in_tailnet.ok().filter(tailnet::Status::is_running);
    let network = match args.network {
        Some(network) => network,
        None => {
            let tailnet = match in_tailnet.as_ref().and_then(tailnet::Status::reached_at) {
                Some(name) => format!("the tailnet alone, as {name}"),
                None => "the tailnet alone (this machine is not connected to one now)".into(),
            };
            let lan = match lan_address() {
                Some(address) => format!("every network of this machine, as {address}"),
                None => "every network of this machine".into(),
            };
            let items = ["this machine alone".into(), lan, tailnet];
            Network::ALL[select("The relay is to be reached from", &items, 0)?]
        }
    };
    args.network = Some(network);
    if args.port.is_none() {
        let port = line("Port", Some(&config.port.to_string()), |text| {
            match text.parse::<u16>() {
                Ok(1..) => Ok(()),
                _ => Err("a whole number from 1 to 65535 is allowed".into()),
            }
        })?;
        args.port = port.parse().ok();
    }
    if mode == Mode::One {
        return Ok(());
    }
    let host = match (network, &in_tailnet) {
        (Network::Tailnet, Some(status)) => status.reached_at(),
        _ => lan_address().map(|address| tailnet::bracketed(&address)),
    };
    if args.node_address.is_none() {
        let default = host.map(|host| format!("{host}:{NODE_PORT}"));
        args.node_address = Some(line(
            "Where other nodes reach this one, HOST:PORT",
            default.as_deref(),
            check_address,
        )?);
    }
    if mode == Mode::Join {
        if args.join.is_none() {
            let question = "Node of the cluster to join by, HOST:PORT";
            args.join = Some(line(question, None, check_address)?);
        }
        if args.token.is_none() && config.cluster.token.is_none() && config.master_secret.is_none()
        {
            let theme = ColorfulTheme::default();
            let token = Password::with_theme(&theme)
                .with_prompt("Join token, as `ekho cluster token create` prints it");
            args.token = Some(answered(token.interact())?);
        }
    }
    Ok(())
}

/// The address that this machine has towards other networks.
pub(super) fn lan_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect(FAR_AWAY).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified() && !address.is_loopback()).then_some(address)
}
