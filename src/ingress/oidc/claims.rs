//! Who an ID token is about, and what they may do here.

use ekho_storage::tables::operator::Role;
use serde_json::Value;

use super::token::Claims;
use super::{Oidc, OidcError};

/// Longest email of an operator, in bytes.
const EMAIL_BYTES_MAX: usize = 255;
/// Groups of one person that are looked at.
const GROUPS_MAX: usize = 10_000;

/// Somebody the provider vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The operator's email, lower case.
    pub email: String,
    /// What the provider calls them, for ever.
    pub subject: String,
    /// Their role; none where that is not the provider's affair.
    pub role: Option<Role>,
    /// The role to begin with, where they may be added as an operator.
    pub first_role: Option<Role>,
}

/// A claim by its name, or by a JSON pointer.
fn claim<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    match name.strip_prefix('/') {
        None => claims.get(name),
        Some(path) => {
            // The first step by hand, the others as the library does.
            let (first, rest) = match path.find('/') {
                Some(at) => path.split_at(at),
                None => (path, ""),
            };
            let first = first.replace("~1", "/").replace("~0", "~");
            claims.get(&first)?.pointer(rest)
        }
    }
    .filter(|value| !value.is_null())
}

/// Whether a claim is the one that `email_verified` is about.
fn is_email(name: &str) -> bool {
    matches!(name, "email" | "/email")
}

/// Whether everything that is needed is there. Some providers tell it only at their userinfo
/// endpoint.
pub fn is_complete(config: &Oidc, claims: &Claims) -> bool {
    let has = |name: &str| claim(claims, name).is_some();
    has(&config.claim)
        && (!is_email(&config.claim) || has("email_verified"))
        && (config.roles.is_empty() || has(&config.groups_claim))
}

/// Who it is about.
pub fn person(config: &Oidc, claims: &Claims) -> Result<Person, OidcError> {
    let name = config.claim.as_str();
    let email = claim(claims, name).and_then(Value::as_str);
    let email = email.map(|email| email.trim().to_lowercase());
    let Some(email) = email.filter(|email| (1..=EMAIL_BYTES_MAX).contains(&email.len())) else {
        let why = format!("the provider does not tell the claim {name}");
        return Err(OidcError::Refused(why));
    };
    // Whoever may claim any address would be any operator.
    let is_verified = match claims.get("email_verified") {
        Some(Value::Bool(verified)) => *verified,
        Some(Value::String(verified)) => verified == "true",
        _ => false,
    };
    if is_email(name) && !is_verified {
        return Err(OidcError::refused(
            "the provider has not verified the email address",
        ));
    }
    let mut role = None;
    if !config.roles.is_empty() {
        role = granted(config, claims).or(config.default_role);
        if role.is_none() {
            return Err(OidcError::refused("none of the groups has a role here"));
        }
    }
    let subject = claims.get("sub").and_then(Value::as_str);
    Ok(Person {
        email,
        subject: subject.unwrap_or_default().to_string(),
        role,
        first_role: role.or(config.default_role),
    })
}

/// The highest role of the groups.
fn granted(config: &Oidc, claims: &Claims) -> Option<Role> {
    let groups: Vec<&str> = match claim(claims, &config.groups_claim) {
        Some(Value::String(group)) => vec![group],
        Some(Value::Array(groups)) => {
            let groups = groups.iter().take(GROUPS_MAX);
            groups.filter_map(Value::as_str).collect()
        }
        _ => Vec::new(),
    };
    let has = |role: Role| {
        let mut named = config.roles.iter().filter(|(named, _)| *named == role);
        named.any(|(_, group)| groups.contains(&group.as_str()))
    };
    Role::ALL.into_iter().find(|role| has(*role))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config() -> Oidc {
        Oidc {
            issuer: "https://id.example".into(),
            client_id: "ekho".into(),
            client_secret: None,
            scopes: "openid email".into(),
            claim: "email".into(),
            fleet: None,
            default_role: None,
            groups_claim: "groups".into(),
            roles: Vec::new(),
            ca_path: None,
        }
    }

    fn claims(value: Value) -> Claims {
        match value {
            Value::Object(claims) => claims,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn an_email_must_be_there_and_verified() {
        let config = config();
        let who = |value: Value| person(&config, &claims(value)).ok();
        let good = who(json!({ "sub": "1", "email": "Ada@Example.org", "email_verified": true }));
        let expected = Person {
            email: "ada@example.org".into(),
            subject: "1".into(),
            role: None,
            first_role: None,
        };
        assert_eq!(good, Some(expected.clone()));
        let text = who(json!({ "sub": "1", "email": "ada@example.org", "email_verified": "true" }));
        assert_eq!(text, Some(expected));
        let long = format!("{}@example.org", "a".repeat(250));
        for bad in [
            json!({ "sub": "1", "email": "ada@example.org" }),
            json!({ "sub": "1", "email": "ada@example.org", "email_verified": false }),
            json!({ "sub": "1", "email": "ada@example.org", "email_verified": "false" }),
            json!({ "sub": "1", "email": "ada@example.org", "email_verified": 1 }),
            json!({ "sub": "1", "email_verified": true }),
            json!({ "sub": "1", "email": "", "email_verified": true }),
            json!({ "sub": "1", "email": ["ada@example.org"], "email_verified": true }),
            json!({ "sub": "1", "email": long, "email_verified": true }),
        ] {
            assert_eq!(who(bad.clone()), None, "{bad}");
        }
    }

    #[test]
    fn groups_give_the_highest_role() {
        let mut config = config();
        config.claim = "/who/mail".into();
        config.groups_claim = "/realm~1access/roles".into();
        config.roles = vec![
            (Role::Viewer, "all".into()),
            (Role::Owner, "admins".into()),
            (Role::Operator, "ops".into()),
            (Role::Operator, "night".into()),
        ];
        let who = |config: &Oidc, groups: Value| {
            let value = json!({
                "sub": "1", "who": { "mail": "a@b" }, "realm/access": { "roles": groups },
            });
            assert!(is_complete(config, &claims(value.clone())) != groups.is_null());
            person(config, &claims(value)).ok().map(|one| one.role)
        };
        for (groups, role) in [
            (json!(["all", "ops"]), Some(Role::Operator)),
            (json!(["night"]), Some(Role::Operator)),
            (json!(["ops", "admins", "all"]), Some(Role::Owner)),
            (json!("all"), Some(Role::Viewer)),
            (json!(["others", 7]), None),
            (json!([]), None),
            (json!(null), None),
        ] {
            assert_eq!(who(&config, groups.clone()), role.map(Some), "{groups}");
        }
        config.default_role = Some(Role::Viewer);
        assert_eq!(who(&config, json!(["others"])), Some(Some(Role::Viewer)));
        assert_eq!(who(&config, json!(["ops"])), Some(Some(Role::Operator)));
    }
}
