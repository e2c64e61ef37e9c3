//! The four service levels.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// A tenant's service level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Priority 4.
    Free,
    /// Priority 3.
    Advance,
    /// Priority 2.
    Professional,
    /// Priority 1, the highest.
    Enterprise,
}

impl Tier {
    /// All tiers, highest priority first.
    pub const ALL: [Self; 4] = [Self::Enterprise, Self::Professional, Self::Advance, Self::Free];

    /// Returns the word used on the wire, in names and in keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Advance => "advance",
            Self::Professional => "professional",
            Self::Enterprise => "enterprise",
        }
    }

    /// Returns 1 for the tier that is served first to 4 for the last.
    pub const fn priority(self) -> u8 {
        match self {
            Self::Enterprise => 1,
            Self::Professional => 2,
            Self::Advance => 3,
            Self::Free => 4,
        }
    }

    /// Returns the protobuf value.
    pub const fn to_proto(self) -> proto::action::v1::Tier {
        match self {
            Self::Free => proto::action::v1::Tier::Free,
            Self::Advance => proto::action::v1::Tier::Advance,
            Self::Professional => proto::action::v1::Tier::Professional,
            Self::Enterprise => proto::action::v1::Tier::Enterprise,
        }
    }

    /// Reads the protobuf value; unspecified and unknown ones are refused here and nowhere else.
    pub fn from_proto(value: i32) -> Result<Self, Error> {
        match proto::action::v1::Tier::try_from(value) {
            Ok(proto::action::v1::Tier::Free) => Ok(Self::Free),
            Ok(proto::action::v1::Tier::Advance) => Ok(Self::Advance),
            Ok(proto::action::v1::Tier::Professional) => Ok(Self::Professional),
            Ok(proto::action::v1::Tier::Enterprise) => Ok(Self::Enterprise),
            Ok(proto::action::v1::Tier::Unspecified) | Err(_) => Err(Error::Tier),
        }
    }
}

impl FromStr for Tier {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == text).ok_or(Error::Tier)
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
