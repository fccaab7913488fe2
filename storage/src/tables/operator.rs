//! Operators: the people who steer a fleet, and what each may do.

use bincode::{Decode, Encode};

use super::{FleetNo, TimeMs, record, registry};
use crate::{Cf, Key, Read, StorageError, Txn, decode, prefix_end};

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Role {
    /// Everything.
    Owner,
    /// Everything but operators and settings.
    Operator,
    /// Reading only.
    Viewer,
}

/// One thing that may be allowed. Calls name the one they need; roles and API tokens are sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[repr(u8)]
pub enum Scope {
    /// See everything in the fleet but secrets.
    Read,
    /// Admit, hold, resume and revoke agents.
    Agents,
    /// Send, take back, redirect, redrive and purge messages.
    Messages,
    /// Decide approvals.
    Approvals,
    /// Change policies.
    Policies,
    /// Change settings.
    Settings,
    /// Add, change and remove operators, and see their sessions and tokens.
    Operators,
    /// Make, change and archive fleets. Only counts in the first fleet.
    Fleets,
    /// Make, change and try out hooks.
    Hooks,
    /// Add, change and remove nodes. Only counts in the first fleet.
    Cluster,
    /// Take the whole relay's data away. Only counts in the first fleet.
    Backup,
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Scopes(u32);

impl Scope {
    /// All of them, in the order of their numbers.
    pub const ALL: [Scope; 11] = [
        Scope::Read,
        Scope::Agents,
        Scope::Messages,
        Scope::Approvals,
        Scope::Policies,
        Scope::Settings,
        Scope::Operators,
        Scope::Fleets,
        Scope::Hooks,
        Scope::Cluster,
        Scope::Backup,
    ];

    /// Those that concern the whole relay: they only count in the first fleet.
    pub const RELAY: [Scope; 4] = [
        Scope::Settings,
        Scope::Fleets,
        Scope::Cluster,
        Scope::Backup,
    ];

    /// The word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Agents => "agents",
            Scope::Messages => "messages",
            Scope::Approvals => "approvals",
            Scope::Policies => "policies",
            Scope::Settings => "settings",
            Scope::Operators => "operators",
            Scope::Fleets => "fleets",
            Scope::Hooks => "hooks",
            Scope::Cluster => "cluster",
            Scope::Backup => "backup",
        }
    }
}

impl Scopes {
    /// The set of these.
    pub fn of(scopes: &[Scope]) -> Self {
        Scopes(scopes.iter().fold(0, |set, scope| set | 1 << *scope as u32))
    }

    /// Whether a scope is in it.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u32) != 0
    }

    /// What is in both.
    pub fn and(self, other: Scopes) -> Scopes {
        Scopes(self.0 & other.0)
    }

    /// What is in this one and not in the other.
    pub fn without(self, other: Scopes) -> Scopes {
        Scopes(self.0 & !other.0)
    }

    /// The scopes in it, in the order of their numbers.
    pub fn list(self) -> Vec<Scope> {
        let mut scopes = Scope::ALL.to_vec();
        scopes.retain(|scope| self.has(*scope));
        scopes
    }
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 3] = [Role::Owner, Role::Operator, Role::Viewer];

    /// What the role allows.
    pub fn scopes(self) -> Scopes {
        match self {
            Role::Owner => Scopes::of(&Scope::ALL),
            Role::Operator => Scopes::of(&[
                Scope::Read,
                Scope::Agents,
                Scope::Messages,
                Scope::Approvals,
                Scope::Policies,
            ]),
            Role::Viewer => Scopes::of(&[Scope::Read]),
        }
    }

    /// The word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Owner => "owner",
            Role::Operator => "operator",
            Role::Viewer => "viewer",
        }
    }
}

/// A person who steers a fleet.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Operator {
    /// Public id, `opr_…`.
    pub id: String,
    /// Sign-in name, lower case, unique in the fleet.
    pub email: String,
    /// argon2id in PHC string form.
    pub password_hash: String,
    /// What this operator may do.
    pub role: Role,
    /// When the operator was created.
    pub created_ms: TimeMs,
}
record!(Operator, "operator");

fn key(fleet: FleetNo, id: &str) -> Key {
    Key::table(registry::OPERATOR).u32(fleet).text(id)
}

fn email_key(fleet: FleetNo, email: &str) -> Key {
    Key::table(registry::OPERATOR_BY_EMAIL)
        .u32(fleet)
        .text(email)
}

/// The operator with this public id.
pub fn get(read: &impl Read, fleet: FleetNo, id: &str) -> Result<Option<Operator>, StorageError> {
    if id.len() > 255 {
        return Ok(None);
    }
    read.record(Cf::Registry, key(fleet, id).bytes())
}

/// The operator who signs in with `email`.
pub fn by_email(
    read: &impl Read,
    fleet: FleetNo,
    email: &str,
) -> Result<Option<Operator>, StorageError> {
    if email.len() > 255 {
        return Ok(None);
    }
    let Some(id) = read.get(Cf::Registry, email_key(fleet, email).bytes())? else {
        return Ok(None);
    };
    get(read, fleet, &String::from_utf8_lossy(&id))
}

/// Operators of a fleet in the order of their ids, which is that of their making; at most `limit`.
pub fn list(read: &impl Read, fleet: FleetNo, limit: usize) -> Result<Vec<Operator>, StorageError> {
    let prefix = Key::table(registry::OPERATOR).u32(fleet);
    let end = prefix_end(prefix.bytes());
    read.scan(Cf::Registry, prefix.bytes(), &end, limit)?
        .iter()
        .map(|(_, value)| decode(value))
        .collect()
}

/// Writes an operator. The email of an id never changes.
pub fn put(txn: &mut Txn, fleet: FleetNo, operator: &Operator) {
    txn.put_record(Cf::Registry, key(fleet, &operator.id), operator);
    txn.put(
        Cf::Registry,
        email_key(fleet, &operator.email),
        operator.id.clone().into_bytes(),
    );
}

/// Removes an operator.
pub fn delete(txn: &mut Txn, fleet: FleetNo, operator: &Operator) {
    txn.delete(Cf::Registry, key(fleet, &operator.id));
    txn.delete(Cf::Registry, email_key(fleet, &operator.email));
}
