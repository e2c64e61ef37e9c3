//! Values of the fields of spans.

use std::fmt::{self, Display};

use crate::export::Scalar;
use crate::fields::Fields;

/// A value of a field, borrowed: most spans are of traces that nobody keeps, and copy it only into the log's line.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// There is none.
    Absent,
    /// A number that counts or measures.
    Number(i64),
    /// A word of ours, in which nothing has to be escaped.
    Word(&'static str),
    /// A text.
    Text(&'a str),
    /// Whatever can be shown as a text.
    Shown(&'a dyn Display),
}

impl Value<'_> {
    /// Writes it into a line of the log.
    pub(crate) fn log(&self, name: &'static str, fields: &mut Fields) {
        match self {
            Self::Absent => {}
            Self::Number(number) => fields.set(name, number),
            Self::Word(word) => fields.set_plain(name, word),
            Self::Text(text) => fields.set(name, text),
            Self::Shown(shown) => fields.set(name, format_args!("{shown}")),
        }
    }

    /// Shows it as what an attribute may be, unless there is none.
    pub(crate) fn show(&self, write: impl FnOnce(Scalar<'_>)) {
        match self {
            Self::Absent => {}
            Self::Number(number) => write(Scalar::Number(*number)),
            Self::Word(word) => write(Scalar::Text(word)),
            Self::Text(text) => write(Scalar::Text(text)),
            Self::Shown(shown) => write(Scalar::Text(&shown.to_string())),
        }
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("Absent"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Word(word) => write!(f, "{word:?}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Shown(shown) => write!(f, "{shown}"),
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Self::Absent, Self::Text)
    }
}

impl From<u16> for Value<'_> {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for Value<'_> {
    /// One above the greatest that a trace can hold is that greatest.
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}
