//! What a credential may be used for.

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

impl Scope {
    /// Returns its place among all there are.
    const fn bit(self) -> u16 {
        match self {
            Self::Tenant => 1,
            Self::Admin => 1 << 1,
            Self::Worker(domain) => 1 << (2 + domain as u16),
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        [Self::Tenant, Self::Admin].into_iter().chain(Domain::ALL.map(Self::Worker))
    }
}

/// The permissions of a caller. A bit each, because callers are handed on all the time.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Scopes(u16);

impl Scopes {
    /// Reads permissions as management stores them. Words of a later version grant nothing.
    pub fn parse<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> Self {
        words.into_iter().filter_map(|word| word.as_ref().parse::<Scope>().ok()).collect()
    }

    /// Tells whether a permission is among them.
    pub fn contains(&self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Returns the permissions as words.
    pub fn words(&self) -> Vec<String> {
        Scope::all().filter(|scope| self.contains(*scope)).map(|scope| scope.to_string()).collect()
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Scope::all().filter(|scope| self.contains(*scope))).finish()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

impl<const N: usize> From<[Scope; N]> for Scopes {
    fn from(scopes: [Scope; N]) -> Self {
        scopes.into_iter().collect()
    }
}
