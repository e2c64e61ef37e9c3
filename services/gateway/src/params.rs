//! Parameters of an address: each read once, each mistake named.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use fault::{Failure, reason};
use http::Uri;
use http::request::Parts;

use crate::problem::Refusal;

/// What identifiers are like.
pub(crate) const GRAMMAR: &str = "must be 3 to 64 characters out of A-Z a-z 0-9 _ -";
/// Most entries of a page.
const MOST: i32 = 100;

/// The parameters, decoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

/// Which part of a list is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// Most entries; 0 leaves it to the service.
    pub(crate) size: i32,
    /// Where to go on; empty for the first page.
    pub(crate) token: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Ok(Self::of(&parts.uri)?)
    }
}

impl Params {
    /// Reads the parameters of an address.
    pub(crate) fn of(address: &Uri) -> Result<Self, Failure> {
        let unreadable = || Failure::new(&reason::INVALID_REQUEST, "the parameters of the address are not valid UTF-8");
        Query::try_from_uri(address).map(|Query(pairs)| Self(pairs)).map_err(|_| unreadable())
    }

    /// Tells whether a parameter stands there, however it is written and with whatever value.
    pub(crate) fn has_ignoring_case(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key.eq_ignore_ascii_case(name))
    }

    /// Returns the value of a parameter that may stand once; an empty one counts as absent.
    pub(crate) fn one(&self, name: &'static str) -> Result<Option<&str>, Failure> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let first = values.next();
        if values.next().is_some() {
            return Err(wrong(name, "stands more than once"));
        }
        Ok(first.filter(|value| !value.is_empty()))
    }

    /// Reads an identifier.
    pub(crate) fn id<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, Failure> {
        self.one(name)?.map(|text| text.parse().map_err(|_| wrong(name, GRAMMAR))).transpose()
    }

    /// Reads `page_size` and `page_token`.
    pub(crate) fn page(&self) -> Result<Page, Failure> {
        let size = match self.one("page_size")? {
            None => 0,
            Some(text) => text
                .parse()
                .ok()
                .filter(|size| (1..=MOST).contains(size))
                .ok_or_else(|| wrong("page_size", &format!("must be a whole number from 1 to {MOST}")))?,
        };
        Ok(Page { size, token: self.one("page_token")?.unwrap_or_default().to_owned() })
    }
}

/// Says what is wrong with a parameter.
pub(crate) fn wrong(name: &'static str, rule: &str) -> Failure {
    Failure::new(&reason::INVALID_REQUEST, format!("`{name}` {rule}")).field(name)
}
