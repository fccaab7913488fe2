//! Operators whom somebody else vouches for: found, added at their first sign-in, given the role
//! that they have there.

use ekho_storage::StorageError;
use ekho_storage::tables::FleetNo;
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::operator::{self, Operator, Role};

use super::apply::Apply;
use super::operator::{OPERATORS_MAX, is_last_owner};
use super::outcome::Refusal;

/// The operator whom an OpenID provider vouches for. Their account may be locked: that keeps out
/// who guesses at its password, not who does not need it.
pub(crate) fn by_oidc(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    email: &str,
    subject: &str,
    role: Option<Role>,
    first: Option<&(String, Role)>,
) -> Result<Result<Operator, Refusal>, StorageError> {
    if let Some(found) = operator::by_email(apply.txn, fleet, email)? {
        return with_role(apply, fleet, found, subject, role).map(Ok);
    }
    let Some((id, role)) = first else {
        return Ok(Err(Refusal::NoOperator));
    };
    if operator::list(apply.txn, fleet, OPERATORS_MAX)?.len() == OPERATORS_MAX {
        let limit = OPERATORS_MAX as u64;
        return Ok(Err(Refusal::LimitReached { limit }));
    }
    let added = Operator {
        id: id.clone(),
        email: email.into(),
        // None: they do not sign in with one before an owner sets it.
        password_hash: String::new(),
        role: *role,
        created_ms: apply.now(),
    };
    operator::put(apply.txn, fleet, &added);
    let kind = EventKind::OperatorCreated;
    record(apply, fleet, kind, &added, None, subject)?;
    Ok(Ok(added))
}

/// Gives an operator the role that they have elsewhere, but for the last owner, who stays.
fn with_role(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    before: Operator,
    subject: &str,
    role: Option<Role>,
) -> Result<Operator, StorageError> {
    let Some(role) = role.filter(|role| *role != before.role) else {
        return Ok(before);
    };
    if before.role == Role::Owner && is_last_owner(apply, fleet)? {
        return Ok(before);
    }
    let after = Operator {
        role,
        ..before.clone()
    };
    operator::put(apply.txn, fleet, &after);
    let kind = EventKind::OperatorUpdated;
    record(apply, fleet, kind, &after, Some(&before), subject)?;
    Ok(after)
}

fn record(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    kind: EventKind,
    about: &Operator,
    before: Option<&Operator>,
    subject: &str,
) -> Result<(), StorageError> {
    let shown = |operator: &Operator| serde_json::json!({ "email": operator.email, "role": operator.role.as_str() });
    let mut payload = serde_json::json!({
        "after": shown(about),
        "by": "oidc",
        "subject": subject,
    });
    if let Some(before) = before {
        payload["before"] = shown(before);
    }
    let resource = Resource::Other("operator".into(), about.id.clone());
    apply.record_with(
        fleet,
        kind,
        Actor::System,
        resource,
        None,
        payload.to_string(),
    )
}
