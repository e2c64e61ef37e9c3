//! The mission's headers as one request states them: found in one walk, because looking each of them up by its name takes longer
//! than all that is done with them.

use std::str::FromStr;

use fault::{Failure, reason};
use http::{HeaderMap, HeaderValue};

use super::{OPTIONAL, REQUIRED, duplicate, parse_id, plain};

const NUMBER: usize = REQUIRED.len() + OPTIONAL.len();
/// The names as they stand in a map of headers, in the order of the others.
const KEYS: [&str; NUMBER] = [
    "x-tenant-id",
    "x-agent-id",
    "x-tenant-tier",
    "x-session-id",
    "x-context-type",
    "x-collection-id",
    "x-user-id",
    "x-conversation-id",
    "x-request-source",
    "x-client-version",
];

/// See the module.
pub(super) struct Stated<'a> {
    values: [Option<&'a HeaderValue>; NUMBER],
}

impl<'a> Stated<'a> {
    /// Finds them. Fails unless those that are required are there, and then unless each stands once.
    pub(super) fn of(headers: &'a HeaderMap) -> Result<Self, Failure> {
        let (mut values, mut filled, mut twice) = ([None; NUMBER], [false; NUMBER], [false; NUMBER]);
        for (key, value) in headers {
            let Some(at) = KEYS.iter().position(|known| *known == key.as_str()) else { continue };
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

#[cfg(test)]
mod tests {
    use super::{KEYS, names};

    #[test]
    fn the_names_in_a_map_are_those_that_are_shown() {
        assert!(names().map(str::to_ascii_lowercase).eq(KEYS));
    }
}
