//! What can change, and how it is written on the wire.

use std::fmt;
use std::str::FromStr;

use action::TenantId;

/// Something that management knows has changed, or has begun or ceased to be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// An agent or a collection of a tenant.
    Thing(TenantId),
    /// The record of a tenant.
    Tenant(TenantId),
    /// A key of anyone.
    Key,
    /// Whatever it may be.
    Everything,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Thing(tenant) => write!(f, "thing {tenant}"),
            Self::Tenant(tenant) => write!(f, "tenant {tenant}"),
            Self::Key => f.write_str("key"),
            Self::Everything => f.write_str("everything"),
        }
    }
}

impl FromStr for Change {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let tenant = |text: &str| text.parse().map_err(|_| ());
        match text.split_once(' ').unwrap_or((text, "")) {
            ("thing", id) => tenant(id).map(Self::Thing),
            ("tenant", id) => tenant(id).map(Self::Tenant),
            ("key", "") => Ok(Self::Key),
            ("everything", "") => Ok(Self::Everything),
            _ => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reads_back_and_nothing_else_does() {
        let acme: TenantId = "acme-1".parse().unwrap();
        for change in [Change::Thing(acme.clone()), Change::Tenant(acme), Change::Key, Change::Everything] {
            assert_eq!(change.to_string().parse(), Ok(change));
        }
        for text in ["", "thing", "thing x", "key of-the-future", "user acme-1", "everything else"] {
            assert_eq!(text.parse::<Change>(), Err(()), "{text}");
        }
    }
}
