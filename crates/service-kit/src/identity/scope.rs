//! What a credential may be used for.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use action::Domain;

/// One permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Acting as the tenant that the credential belongs to.
    Tenant,
    /// Acting for any tenant, and operating the queues.
    Admin,
    /// Taking work of a domain.
    Worker(Domain),
}

impl FromStr for Scope {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "tenant" => Ok(Self::Tenant),
            "admin" => Ok(Self::Admin),
            _ => {
                let domain = text.strip_prefix("worker:").ok_or(())?;
                domain.parse().map(Self::Worker).map_err(|_| ())
            }
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant => f.write_str("tenant"),
            Self::Admin => f.write_str("admin"),
            Self::Worker(domain) => write!(f, "worker:{domain}"),
        }
    }
}

/// The permissions of a caller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Reads permissions as management stores them. Words of a later version grant nothing.
    pub fn parse<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> Self {
        Self(words.into_iter().filter_map(|word| word.as_ref().parse().ok()).collect())
    }

    /// Tells whether a permission is among them.
    pub fn contains(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }

    /// Returns the permissions as words.
    pub fn words(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}

impl<const N: usize> From<[Scope; N]> for Scopes {
    fn from(scopes: [Scope; N]) -> Self {
        scopes.into_iter().collect()
    }
}
