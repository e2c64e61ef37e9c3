//! What the process that reads documents is asked and what it answers: one byte says which answer it is, the rest is the
//! text. It is whole when the process ended well.

use super::{DAMAGED, NO_PAGES, TOO_MUCH_TEXT, UNPACKS};
use crate::Error;

/// Most bytes of a text; the most that a tier lets be cut into chunks is a fraction of it.
pub(super) const LONGEST_TEXT: usize = 64 << 20;

const TEXT: u8 = b'T';
const ENCRYPTED: u8 = b'C';
const EMPTY: u8 = b'E';
/// The other answers: why a document is unreadable. What the process says is not passed on in its own words.
const UNREADABLE: [(u8, &str); 4] = [(b'D', DAMAGED), (b'P', NO_PAGES), (b'U', UNPACKS), (b'L', TOO_MUCH_TEXT)];

/// What is wanted of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Its text.
    Text,
    /// Whether it can be opened; the text is empty.
    Open,
}

impl Asked {
    /// Returns the word for it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Open => "open",
        }
    }

    /// Finds it by its word.
    pub(super) fn of(word: &str) -> Option<Self> {
        [Self::Text, Self::Open].into_iter().find(|asked| asked.as_str() == word)
    }
}

/// Turns an outcome into the byte that names it and the text after it.
pub(super) fn encode(outcome: &Result<String, Error>) -> (u8, &str) {
    match outcome {
        Ok(text) if text.len() > LONGEST_TEXT => (b'L', ""),
        Ok(text) => (TEXT, text),
        Err(Error::Encrypted) => (ENCRYPTED, ""),
        Err(Error::Empty) => (EMPTY, ""),
        Err(Error::Unreadable(why)) => {
            let known = UNREADABLE.iter().find(|(_, known)| known == why);
            (known.map_or(b'D', |(tag, _)| *tag), "")
        }
        Err(_) => (b'D', ""),
    }
}

/// Reads an answer; what is none says that the document could not be read.
pub(super) fn decode(mut answer: Vec<u8>) -> Result<String, Error> {
    if answer.is_empty() {
        return Err(Error::Unreadable(DAMAGED));
    }
    match answer.remove(0) {
        TEXT => String::from_utf8(answer).map_err(|_| Error::Unreadable(DAMAGED)),
        ENCRYPTED => Err(Error::Encrypted),
        EMPTY => Err(Error::Empty),
        tag => {
            let known = UNREADABLE.iter().find(|(known, _)| *known == tag);
            Err(Error::Unreadable(known.map_or(DAMAGED, |(_, why)| why)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_it_was_meant() {
        let refusals = [Error::Encrypted, Error::Empty].into_iter();
        let unreadable = UNREADABLE.iter().map(|(_, why)| Error::Unreadable(why));
        let texts = ["", "zwölf"].map(|text| Ok(text.to_owned()));
        for outcome in refusals.chain(unreadable).map(Err).chain(texts) {
            let (tag, text) = encode(&outcome);
            let read = decode([&[tag], text.as_bytes()].concat());
            assert_eq!(format!("{read:?}"), format!("{outcome:?}"));
        }
        for nonsense in [&b""[..], b"x", b"T\xff"] {
            assert!(matches!(decode(nonsense.to_vec()), Err(Error::Unreadable(_))));
        }
    }
}
