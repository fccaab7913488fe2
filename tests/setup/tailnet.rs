//! A relay at its machine's address in a tailnet, and nowhere else

use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::path::Path;

use crate::support::{DEADLINE, Http, Relay, RelayBuilder, free_port, poll_until};
use crate::tailscaled::Tailscaled;
use crate::{done, json, out};

/// Addresses of this machine that nothing else uses.
fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 64, 0, last).into()
}

fn builder(dir: &Path, tailscaled: &Tailscaled) -> RelayBuilder {
    Relay::builder()
        .dir(dir)
        .env("EKHO_HOST", "tailscale")
        .env("EKHO_TAILSCALED_SOCKET", tailscaled.socket.display())
}

async fn is_ready(relay: &Relay, address: IpAddr) {
    let url = format!("http://{address}:{}/readyz", relay.port);
    let http = Http::new();
    poll_until(DEADLINE, "the relay in the tailnet", async || {
        let answer = http
            .try_send("GET", &url, &[], bytes::Bytes::new(), DEADLINE)
            .await;
        answer
            .is_ok_and(|answer| answer.status == 200)
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_the_address_and_listens_there_alone() {
    let dir = tempfile::tempdir().unwrap();
    let address = address(7);
    let tailscaled = Tailscaled::running(dir.path(), address, Some("localhost.tail1a2b.ts.net"));
    let node = free_port();
    let mut relay = builder(dir.path(), &tailscaled)
        .env("EKHO_NODE_ADDRESS", format!("{address}:{node}"))
        .set_up();
    let told = relay.credentials().relay_url;
    assert_eq!(
        told,
        format!("http://localhost.tail1a2b.ts.net:{}", relay.port)
    );

    // A machine that has just started: tailscaled is there and not connected yet.
    tailscaled.is("Starting", "");
    relay.spawn();
    poll_until(DEADLINE, "a line about waiting", async || {
        relay
            .log()
            .contains("waiting for the tailnet")
            .then_some(())
    })
    .await;
    assert!(TcpStream::connect((address, relay.port)).is_err());
    tailscaled.says(|status| {
        *status = crate::tailscaled::running(address, Some("localhost.tail1a2b.ts.net"));
    });
    is_ready(&relay, address).await;
    // Neither agents nor nodes come by another way.
    for port in [relay.port, node] {
        TcpStream::connect((address, port)).unwrap();
        for other in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 64, 0, 8)] {
            assert!(TcpStream::connect((other, port)).is_err(), "{other}:{port}");
        }
    }
    let config = json(&done(relay.run(["config", "--json"])));
    let settings = config["settings"].as_array().unwrap();
    let base_url = settings
        .iter()
        .find(|one| one["variable"] == "EKHO_BASE_URL")
        .unwrap();
    assert_eq!(
        (&base_url["value"], &base_url["source"]),
        (&told.into(), &"tailscaled".into())
    );
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_magic_dns_agents_and_commands_use_the_address() {
    let dir = tempfile::tempdir().unwrap();
    let address = address(9);
    let tailscaled = Tailscaled::running(dir.path(), address, None);
    let mut relay = builder(dir.path(), &tailscaled).set_up();
    relay.spawn();
    is_ready(&relay, address).await;
    let url = format!("http://{address}:{}", relay.port);
    assert_eq!(relay.credentials().relay_url, url);
    // A command on the machine finds the relay by the same configuration.
    let overview = json(&done(relay.run(["overview", "--json"])));
    assert!(overview.is_object(), "{overview}");
    let token = json(&done(relay.run(["token", "create", "--json"])));
    assert_eq!(token["relay_url"], url);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_interface_it_says_what_to_do_instead() {
    let dir = tempfile::tempdir().unwrap();
    let tailscaled = Tailscaled::running(dir.path(), address(10), None);
    let mut relay = builder(dir.path(), &tailscaled).set_up();
    tailscaled.says(|status| status["TUN"] = false.into());
    relay.spawn();
    assert_eq!(relay.wait_exit().await.code(), Some(1));
    assert!(relay.log().contains("tailscale serve"), "{}", relay.log());
    let said = out(&relay.run(["doctor"]));
    assert!(said.contains("userspace networking"), "{said}");
}
