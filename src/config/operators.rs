//! The settings of who may reach the operator API, and how: proxies and the tailnet.

use super::loader::Loader;
use super::node::node;
use super::parse;
use crate::ingress::proxies::TrustedProxies;

/// What a tailnet says about operators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tailnet {
    /// The operator API answers nobody else.
    pub is_required: bool,
    /// A login that is an operator's email signs in without a password.
    pub signs_in: bool,
    /// Only these logins, lower case; empty for all.
    pub users: Vec<String>,
}

/// Reads them.
pub(super) fn load(loader: &mut Loader) -> (TrustedProxies, Tailnet) {
    let proxies = loader.value(
        node(
            "EKHO_TRUSTED_PROXIES",
            "proxies whose headers say who the client is: addresses and networks",
        ),
        Vec::new(),
        parse::networks,
        |networks| {
            let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
            networks.join(",")
        },
    );
    let proxies = TrustedProxies::new(proxies);
    let mut switch = |variable, about| {
        loader.value(node(variable, about), false, parse::switch, bool::to_string)
    };
    let is_required = switch(
        "EKHO_OPERATOR_REQUIRE_TAILNET",
        "the operator API answers only requests from the tailnet",
    );
    let signs_in = switch(
        "EKHO_OPERATOR_TAILNET_LOGIN",
        "a tailnet login that is an operator's email signs in without a password",
    );
    let users = loader.value(
        node(
            "EKHO_OPERATOR_TAILNET_USER",
            "the tailnet logins that count, separated by commas; all where it is not set",
        ),
        Vec::new(),
        parse::logins,
        |users| users.join(","),
    );
    for (variable, is_set) in [
        ("EKHO_OPERATOR_REQUIRE_TAILNET", is_required),
        ("EKHO_OPERATOR_TAILNET_LOGIN", signs_in),
    ] {
        if is_set && proxies.is_empty() {
            let problem = format!(
                "{variable} needs EKHO_TRUSTED_PROXIES: the address that `tailscale serve` \
                 connects from, such as 127.0.0.1"
            );
            loader.problems.push(problem);
        }
    }
    let tailnet = Tailnet {
        is_required,
        signs_in,
        users,
    };
    (proxies, tailnet)
}
