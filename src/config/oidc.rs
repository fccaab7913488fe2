//! The settings of sign-in by an OpenID provider, read at each start.

use ekho_storage::tables::operator::Role;

use super::loader::Loader;
use super::node::node;
use super::parse;
use crate::ingress::oidc::Oidc;

/// Reads them; none where no provider is named.
pub(super) fn load(loader: &mut Loader) -> Option<Oidc> {
    let issuer = loader.optional(
        node(
            "EKHO_OIDC_ISSUER",
            "the OpenID provider that operators may sign in with",
        ),
        parse::issuer,
        String::clone,
    );
    let client_id = loader.optional(
        node("EKHO_OIDC_CLIENT_ID", "what the provider calls this relay"),
        |text| Ok(text.to_string()),
        String::clone,
    );
    let client_secret = loader.secret(node(
        "EKHO_OIDC_CLIENT_SECRET",
        "shows the provider that it is this relay; none for a public client",
    ));
    let text = |loader: &mut Loader, variable, default: &str, about| {
        loader.value(
            node(variable, about),
            default.to_string(),
            |text| Ok(text.to_string()),
            String::clone,
        )
    };
    let scopes = text(
        loader,
        "EKHO_OIDC_SCOPES",
        "openid email",
        "what the provider is asked for",
    );
    let claim = text(
        loader,
        "EKHO_OIDC_CLAIM",
        "email",
        "the claim that holds an operator's email, or a JSON pointer to it",
    );
    let fleet = loader.optional(
        node(
            "EKHO_OIDC_FLEET",
            "the fleet that they sign in to; not needed where there is one",
        ),
        |text| Ok(text.to_string()),
        String::clone,
    );
    let role_name = |role: &Role| role.as_str().to_string();
    let default_role = loader.optional(
        node(
            "EKHO_OIDC_DEFAULT_ROLE",
            "role of operators made at their first sign-in; without it, none are made",
        ),
        parse::role,
        role_name,
    );
    let groups_claim = text(
        loader,
        "EKHO_OIDC_GROUPS_CLAIM",
        "groups",
        "the claim that holds their groups, or a JSON pointer to it",
    );
    let roles = loader.value(
        node(
            "EKHO_OIDC_ROLES",
            "roles by group, set anew at each sign-in: ROLE=GROUP, separated by commas",
        ),
        Vec::new(),
        parse::roles,
        |roles| {
            let pairs = roles.iter();
            let pairs = pairs.map(|(role, group)| format!("{}={group}", role.as_str()));
            pairs.collect::<Vec<String>>().join(",")
        },
    );
    let ca_path = loader.path(node(
        "EKHO_OIDC_CA_PATH",
        "PEM certificates to trust for the provider beside the system's",
    ));
    match (issuer, client_id) {
        (Some(issuer), Some(client_id)) => Some(Oidc {
            issuer,
            client_id,
            client_secret,
            scopes,
            claim,
            fleet,
            default_role,
            groups_claim,
            roles,
            ca_path,
        }),
        (None, None) => {
            if client_secret.is_some() {
                let why = "EKHO_OIDC_CLIENT_SECRET has no effect without EKHO_OIDC_ISSUER";
                loader.warnings.push(why.into());
            }
            None
        }
        (issuer, _) => {
            let (set, unset) = match issuer {
                Some(_) => ("EKHO_OIDC_ISSUER", "EKHO_OIDC_CLIENT_ID"),
                None => ("EKHO_OIDC_CLIENT_ID", "EKHO_OIDC_ISSUER"),
            };
            let problem =
                format!("{set} is set and {unset} is not, or not rightly: both or neither");
            loader.problems.push(problem);
            None
        }
    }
}
