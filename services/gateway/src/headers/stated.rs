//! The mission's headers as one request states them: found in one walk, because looking each of them up by its name takes longer
//! than all that is done with them.

use std::str::FromStr;

use fault::{Failure, reason};
use http::{HeaderMap, HeaderValue};

use super::{OPTIONAL, REQUIRED, duplicate, parse_id, plain};

const NUMBER: usize = REQUIRED.len() + OPTIONAL.len();

/// See the module.
pub(super) struct Stated<'a> {
    values: [Option<&'a HeaderValue>; NUMBER],
}

impl<'a> Stated<'a> {
    /// Finds them. Fails unless those that are required are there, and then unless each stands once.
    pub(super) fn of(headers: &'a HeaderMap) -> Result<Self, Failure> {
        let (mut values, mut filled, mut twice) = ([None; NUMBER], [false; NUMBER], [false; NUMBER]);
        for (key, value) in headers {
            let Some(at) = names().position(|name| name.eq_ignore_ascii_case(key.as_str())) else { continue };
            twice[at] |= values[at].is_some();
            filled[at] |= !value.as_bytes().trim_ascii().is_empty();
            values[at].get_or_insert(value);
        }
        let missing: Vec<_> = names().zip(filled).take(REQUIRED.len()).filter(|(_, filled)| !filled).collect();
        if let Some((first, _)) = missing.first() {
            let all = missing.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            let failure = Failure::new(&reason::MISSING_REQUIRED_HEADERS, format!("missing: {all}"));
            return Err(failure.field(*first).with("missing", all));
        }
        match names().zip(twice).find(|(_, twice)| *twice) {
            Some((name, _)) => Err(duplicate(name)),
            None => Ok(Self { values }),
        }
    }

    /// Returns the text of one of them; an empty one counts as absent.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<&'a str>, Failure> {
        let value = names().position(|known| known == name).and_then(|at| self.values[at]);
        value.map_or(Ok(None), |value| plain(value, name))
    }

    /// Reads an identifier out of one of them.
    pub(super) fn id<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, Failure> {
        parse_id(self.text(name)?, name)
    }
}

fn names() -> impl Iterator<Item = &'static str> {
    REQUIRED.into_iter().chain(OPTIONAL)
}
