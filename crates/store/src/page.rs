//! Lists that are too long for one answer.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::Error;

/// Between the parts of a token; no key holds it.
const SEPARATOR: char = '\u{1f}';
/// No token of ours is longer.
const MAX_TOKEN: usize = 512;

/// Most bytes of what the rows of one answer hold: gRPC carries 4 MiB.
const ANSWER: usize = 2 * 1024 * 1024;

/// Returns how many rows, from the first, go into one answer; the first always does. `sizes` are their bytes.
pub fn fitting(sizes: impl IntoIterator<Item = usize>) -> usize {
    let mut bytes = 0;
    let fit = |size: &usize| {
        bytes += size;
        bytes <= ANSWER
    };
    sizes.into_iter().take_while(fit).count().max(1)
}

/// How long the pages of a list may be.
#[derive(Clone, Copy, Debug)]
pub struct PageBounds {
    /// Rows of a page when the caller does not say.
    pub default: u32,
    /// Most rows of a page; a larger wish is cut down to it.
    pub max: u32,
}

/// The part of a list that a caller asks for.
///
/// A list is ordered by a key and goes on after the last key of the page before, so that rows which come or go meanwhile
/// are neither shown twice nor shift the others. The token names the list it was made for; it grants nothing, because the
/// tenant is part of every query anyway.
#[derive(Clone, Debug)]
pub struct Page {
    list: &'static str,
    size: usize,
    after: Option<Vec<String>>,
}

impl Page {
    /// Reads a request for a page of `list`, whose key has `parts` parts. Refuses a negative size and a token that was
    /// not made for this list, naming `page_size` or `page_token`.
    pub fn read(
        list: &'static str,
        parts: usize,
        bounds: PageBounds,
        page_size: i32,
        page_token: &str,
    ) -> Result<Self, Error> {
        let wish = u32::try_from(page_size)
            .map_err(|_| Error::Page { field: "page_size", problem: "must not be negative" })?;
        let size = if wish == 0 { bounds.default } else { wish.min(bounds.max) };
        let after = if page_token.is_empty() { None } else { Some(decode(list, parts, page_token)?) };
        Ok(Self { list, size: size as usize, after })
    }

    /// Returns how many rows to ask the database for: one more than a page, to learn whether another follows.
    pub fn limit(&self) -> i64 {
        i64::try_from(self.size).unwrap_or(i64::MAX).saturating_add(1)
    }

    /// Returns one part of the key of the last row of the page before; nothing on the first page.
    pub fn after(&self, part: usize) -> Option<&str> {
        self.after.as_ref().and_then(|parts| parts.get(part)).map(String::as_str)
    }

    /// Reads one part of that key as a number. Refuses a token in which it is none.
    pub fn after_number(&self, part: usize) -> Result<Option<i64>, Error> {
        self.after(part).map(|text| text.parse().map_err(|_| foreign_token())).transpose()
    }

    /// Cuts the rows down to the page and makes the token of the next one; empty on the last page. `key` gives as many
    /// parts as the list's key has.
    pub fn finish<T>(&self, rows: Vec<T>, key: impl Fn(&T) -> Vec<String>) -> (Vec<T>, String) {
        self.finish_at(self.size, rows, key)
    }

    /// Like [`Page::finish`], for rows of which no more than `most` go into one answer.
    pub fn finish_at<T>(&self, most: usize, mut rows: Vec<T>, key: impl Fn(&T) -> Vec<String>) -> (Vec<T>, String) {
        let size = self.size.min(most);
        if rows.len() <= size {
            return (rows, String::new());
        }
        rows.truncate(size);
        let token = rows.last().map(|row| encode(self.list, &key(row))).unwrap_or_default();
        (rows, token)
    }
}

fn encode(list: &str, key: &[String]) -> String {
    let mut text = list.to_owned();
    for part in key {
        text.push(SEPARATOR);
        text.push_str(part);
    }
    URL_SAFE_NO_PAD.encode(text)
}

fn decode(list: &str, parts: usize, token: &str) -> Result<Vec<String>, Error> {
    if token.len() > MAX_TOKEN {
        return Err(foreign_token());
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| foreign_token())?;
    let text = String::from_utf8(bytes).map_err(|_| foreign_token())?;
    let mut pieces = text.split(SEPARATOR);
    if pieces.next() != Some(list) {
        return Err(foreign_token());
    }
    let key: Vec<String> = pieces.map(str::to_owned).collect();
    if key.len() == parts { Ok(key) } else { Err(foreign_token()) }
}

fn foreign_token() -> Error {
    Error::Page { field: "page_token", problem: "is not one that this list has returned" }
}
