//! A network of its own for each run: every node in a network namespace, all on one bridge, and the
//! runner at the bridge itself, so that clients reach every node whatever nodes do not reach each
//! other. Partitions are rules of iptables in the namespaces. Takes root.

use std::io;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

/// Everything that a run makes has a name that begins so, followed by the runner's process id.
const PREFIX: &str = "ekj";

/// A network. Removed when dropped.
pub struct Net {
    run: u32,
    /// Third byte of the addresses.
    subnet: u8,
    nodes: usize,
}

impl Net {
    /// Makes one with so many namespaces.
    pub fn new(nodes: usize) -> io::Result<Self> {
        let run = std::process::id();
        let net = Net {
            run,
            subnet: free_subnet(run)?,
            nodes,
        };
        let (bridge, gateway) = (net.bridge(), net.at(254));
        run_ip(&["link", "add", &bridge, "type", "bridge"])?;
        run_ip(&["addr", "add", &format!("{gateway}/24"), "dev", &bridge])?;
        run_ip(&["link", "set", &bridge, "up"])?;
        for node in 0..nodes {
            net.add(node)?;
        }
        Ok(net)
    }

    fn add(&self, node: usize) -> io::Result<()> {
        let (space, outer) = (self.space(node), format!("{PREFIX}{}h{node}", self.run));
        let address = format!("{}/24", self.address(node));
        run_ip(&["netns", "add", &space])?;
        run_ip(&[
            "link", "add", &outer, "type", "veth", "peer", "name", "eth0", "netns", &space,
        ])?;
        run_ip(&["link", "set", &outer, "master", &self.bridge(), "up"])?;
        run_ip(&["-n", &space, "addr", "add", &address, "dev", "eth0"])?;
        run_ip(&["-n", &space, "link", "set", "lo", "up"])?;
        run_ip(&["-n", &space, "link", "set", "eth0", "up"])
    }

    fn bridge(&self) -> String {
        format!("{PREFIX}{}", self.run)
    }

    fn space(&self, node: usize) -> String {
        format!("{PREFIX}-{}-{node}", self.run)
    }

    fn at(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 93, self.subnet, last)
    }

    /// Where a node is.
    pub fn address(&self, node: usize) -> Ipv4Addr {
        self.at(node as u8 + 1)
    }

    /// A command that runs in a node's namespace.
    pub fn command(&self, node: usize, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let space = format!("--net=/run/netns/{}", self.space(node));
        command.args([&space, "--", program]);
        command.stdin(Stdio::null());
        command
    }

    /// Loses every packet from one node to another.
    pub fn cut(&self, from: usize, to: usize) -> io::Result<()> {
        let source = self.address(from).to_string();
        let mut command = self.command(to, "iptables");
        run(command.args(["-w", "-A", "INPUT", "-s", &source, "-j", "DROP"]))
    }

    /// Loses nothing any more.
    pub fn heal(&self) -> io::Result<()> {
        for node in 0..self.nodes {
            run(self.command(node, "iptables").args(["-w", "-F", "INPUT"]))?;
        }
        Ok(())
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        remove(self.run);
    }
}

/// Removes what runners left behind that are not there any more.
pub fn sweep() {
    let links = output(Command::new("ip").args(["-o", "link", "show", "type", "bridge"]));
    let spaces = output(Command::new("ip").args(["netns", "list"]));
    let bridges = links.lines().filter_map(|line| line.split(": ").nth(1));
    let names = bridges.chain(spaces.lines().filter_map(|line| line.split(' ').next()));
    let runs = names.filter_map(|name| {
        let rest = name.strip_prefix(PREFIX)?.trim_start_matches('-');
        rest.split('-').next()?.parse::<u32>().ok()
    });
    let mut runs: Vec<u32> = runs.filter(|run| !is_runner(*run)).collect();
    runs.sort_unstable();
    runs.dedup();
    runs.into_iter().for_each(remove);
}

/// Whether this process is a runner, or the tests of one.
pub fn is_runner(process: u32) -> bool {
    let name = std::fs::read_to_string(format!("/proc/{process}/comm"));
    name.is_ok_and(|name| name.replace('_', "-").starts_with("ekho-jepsen"))
}

/// Ends what runs in a run's namespaces and removes these.
fn remove(run: u32) {
    let spaces = output(Command::new("ip").args(["netns", "list"]));
    let prefix = format!("{PREFIX}-{run}-");
    for space in spaces.lines().filter_map(|line| line.split(' ').next()) {
        if !space.starts_with(&prefix) {
            continue;
        }
        let processes = output(Command::new("ip").args(["netns", "pids", space]));
        for process in processes.lines() {
            let _ = Command::new("kill").args(["-9", process]).status();
        }
        let _ = run_ip(&["netns", "delete", space]);
    }
    // The ends of the pairs go with the namespaces.
    let _ = run_ip(&["link", "delete", &format!("{PREFIX}{run}")]);
}

/// A network that no interface of this machine is in.
fn free_subnet(run: u32) -> io::Result<u8> {
    let used = output(Command::new("ip").args(["-4", "-o", "addr", "show"]));
    let first = run % 200;
    (0..200_u32)
        .map(|step| ((first + step) % 200 + 20) as u8)
        .find(|subnet| !used.contains(&format!(" 10.93.{subnet}.")))
        .ok_or_else(|| io::Error::other("no free network from 10.93.20.0/24 on"))
}

fn run_ip(args: &[&str]) -> io::Result<()> {
    run(Command::new("ip").args(args))
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{command:?}: {}", said.trim())))
}

fn output(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout);
    String::from_utf8_lossy(&output.unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a node answers another, be it by refusing the connection.
    fn reaches(net: &Net, from: usize, to: usize) -> bool {
        let connect = format!("</dev/tcp/{}/9", net.address(to));
        let mut command = net.command(from, "timeout");
        let status = command
            .args(["1", "bash", "-c", &connect])
            .stderr(Stdio::null())
            .status();
        // 124: no answer in time.
        status.unwrap().code() != Some(124)
    }

    #[test]
    fn packets_are_lost_in_one_direction_and_nothing_stays_behind() {
        let net = match Net::new(2) {
            Ok(net) => net,
            Err(error) => {
                eprintln!("summary: network: skipped, namespaces take root: {error}");
                return;
            }
        };
        assert!(reaches(&net, 0, 1) && reaches(&net, 1, 0));
        net.cut(0, 1).unwrap();
        // Neither gets an answer: what 0 asks is lost, and what it answers as well.
        assert!(!reaches(&net, 0, 1) && !reaches(&net, 1, 0));
        net.heal().unwrap();
        assert!(reaches(&net, 0, 1));
        let space = net.space(0);
        drop(net);
        assert!(!output(Command::new("ip").args(["netns", "list"])).contains(&space));
    }
}
