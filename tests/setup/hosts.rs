//! Machines of a tailnet: network namespaces, each with an address in a network that everybody
//! shares and one in the tailnet, and a stand-in for tailscaled of its own. Takes root.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ekho_jepsen::net::Net;
use tempfile::TempDir;

use crate::support::{Process, binary};
use crate::tailscaled::Tailscaled;

pub const PORT: u16 = 4000;
pub const NODE_PORT: u16 = 4001;

/// A machine.
pub struct Host {
    number: usize,
    /// Its address in the tailnet.
    pub address: Ipv4Addr,
    /// Its address in the network that everybody shares.
    pub lan: Ipv4Addr,
    dir: TempDir,
    tailscaled: Tailscaled,
    relay: Option<Process>,
}

/// So many machines; none where there are no namespaces.
pub fn hosts(count: usize) -> Option<(Net, Vec<Host>)> {
    let net = match Net::new(count) {
        Ok(net) => net,
        Err(error) => {
            eprintln!("summary: hosts of a tailnet: skipped, namespaces take root: {error}");
            return None;
        }
    };
    let hosts = (0..count).map(|number| {
        let dir = TempDir::with_prefix("ekho-host-").expect("a directory");
        let address = Ipv4Addr::new(100, 64, 0, number as u8 + 1);
        let added = net
            .command(number, "ip")
            .args(["addr", "add", &format!("{address}/24"), "dev", "eth0"])
            .status();
        assert!(added.expect("ip").success());
        // MagicDNS is off: names would have to be known to each namespace.
        let tailscaled = Tailscaled::running(dir.path(), address.into(), None);
        Host {
            number,
            address,
            lan: net.address(number),
            dir,
            tailscaled,
            relay: None,
        }
    });
    let hosts = hosts.collect();
    Some((net, hosts))
}

impl Host {
    /// A command of the binary on this machine.
    pub fn command(&self, net: &Net, args: &[&str]) -> Command {
        let mut command = net.command(self.number, "env");
        command
            .arg(format!(
                "EKHO_TAILSCALED_SOCKET={}",
                self.tailscaled.socket.display()
            ))
            .arg(format!(
                "EKHO_DATA_DIR={}",
                self.dir.path().join("data").display()
            ))
            .arg(format!(
                "EKHO_SESSION_FILE={}",
                self.dir.path().join("session").display()
            ))
            .arg("EKHO_DISK_FREE_MIN_BYTES=1048576")
            .arg(binary())
            .args(args)
            .current_dir(self.dir.path());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, net: &Net, args: &[&str]) -> Output {
        self.command(net, args).output().expect("ekho")
    }

    /// Starts the relay.
    pub fn serve(&mut self, net: &Net) {
        let log = std::fs::File::create(self.log()).expect("a log");
        let child = self.command(net, &["serve"]).stderr(log).spawn();
        self.relay = Some(Process::watched(child.expect("ekho serve"), None));
    }

    /// Where its relay logs.
    pub fn log(&self) -> PathBuf {
        Path::new(self.dir.path()).join("relay.log")
    }

    /// Whether a connection from here to there is taken.
    pub fn connects(&self, net: &Net, address: Ipv4Addr, port: u16) -> bool {
        let connect = format!("</dev/tcp/{address}/{port}");
        let mut command = net.command(self.number, "timeout");
        command.args(["2", "bash", "-c", &connect]);
        let status = command.stderr(std::process::Stdio::null()).status();
        status.expect("timeout").success()
    }

    /// Loses what comes from another machine over the tailnet, or no longer.
    pub fn cut(&self, net: &Net, from: Ipv4Addr, is_cut: bool) {
        let what = if is_cut { "-A" } else { "-D" };
        let mut command = net.command(self.number, "iptables");
        command.args(["-w", what, "INPUT", "-s", &from.to_string(), "-j", "DROP"]);
        assert!(command.status().expect("iptables").success());
    }
}
