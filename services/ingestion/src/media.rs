//! Which kind of document some bytes are: decided by the bytes first, the name and the sender's claim after them.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// How many of the first bytes are enough to decide.
pub(crate) const HEAD: usize = 4096;

/// A kind of document that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `text/plain`.
    Text,
    /// `text/markdown`.
    Markdown,
    /// `text/html`.
    Html,
    /// `application/pdf`.
    Pdf,
}

impl MediaType {
    /// Returns the name as it is written in a `Content-Type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Markdown => "text/markdown",
            Self::Html => "text/html",
            Self::Pdf => "application/pdf",
        }
    }

    /// Decides from the first bytes ([`HEAD`] of them, or all), the file's name and what the sender claims.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for what cannot be read at all, [`Error::Unreadable`] for bytes that are not what is claimed.
    pub(crate) fn of(head: &[u8], file_name: &str, claim: &str) -> Result<Self, Error> {
        if is_pdf(head) {
            return Ok(Self::Pdf);
        }
        if let Some(found) = foreign(head) {
            return Err(Error::Unsupported(found));
        }
        let kind = match claimed(claim)? {
            // Many senders know no Markdown and say plain text.
            Some(Self::Text) if matches!(named(file_name), Ok(Some(Self::Markdown))) => Self::Markdown,
            Some(kind) => kind,
            None => match named(file_name)? {
                Some(kind) => kind,
                None if looks_like_html(head) => Self::Html,
                None if has_control_bytes(head) => return Err(Error::Unsupported("binary data of an unknown kind")),
                None => Self::Text,
            },
        };
        match kind {
            Self::Pdf => Err(Error::Unreadable("the bytes do not begin like a PDF")),
            _ if has_control_bytes(head) => Err(Error::Unreadable("the bytes are not text")),
            kind => Ok(kind),
        }
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for MediaType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        claimed(text)?.ok_or(Error::Unsupported("data of no particular kind"))
    }
}

/// Reads a claim; none when it is empty or says nothing in particular.
fn claimed(claim: &str) -> Result<Option<MediaType>, Error> {
    let essence = claim.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "" | "application/octet-stream" | "binary/octet-stream" | "*/*" => Ok(None),
        "text/plain" => Ok(Some(MediaType::Text)),
        "text/markdown" | "text/x-markdown" => Ok(Some(MediaType::Markdown)),
        "text/html" | "application/xhtml+xml" => Ok(Some(MediaType::Html)),
        "application/pdf" | "application/x-pdf" => Ok(Some(MediaType::Pdf)),
        _ => Err(Error::Unsupported("a media type other than text, Markdown, HTML and PDF")),
    }
}

/// Reads the end of a file's name; none when it has none.
fn named(file_name: &str) -> Result<Option<MediaType>, Error> {
    let base = file_name.rsplit(['/', '\\']).next().unwrap_or_default();
    let Some((stem, extension)) = base.rsplit_once('.') else { return Ok(None) };
    if stem.is_empty() {
        return Ok(None);
    }
    match extension.to_ascii_lowercase().as_str() {
        "txt" | "text" | "log" => Ok(Some(MediaType::Text)),
        "md" | "markdown" | "mdown" => Ok(Some(MediaType::Markdown)),
        "html" | "htm" | "xhtml" => Ok(Some(MediaType::Html)),
        "pdf" => Ok(Some(MediaType::Pdf)),
        _ => Err(Error::Unsupported("a kind of file other than text, Markdown, HTML and PDF")),
    }
}

/// Readers look for the mark within the first kilobyte, as some writers put other bytes before it.
fn is_pdf(head: &[u8]) -> bool {
    head[..head.len().min(1024)].windows(5).any(|window| window == b"%PDF-")
}

/// Recognises what is certainly something else.
fn foreign(head: &[u8]) -> Option<&'static str> {
    const MARKS: [(&[u8], &str); 11] = [
        (b"PK\x03\x04", "a ZIP archive or an office document"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old office document"),
        (b"\x89PNG\r\n\x1a\n", "an image"),
        (b"\xff\xd8\xff", "an image"),
        (b"GIF8", "an image"),
        (b"RIFF", "an image or a sound"),
        (b"\x1f\x8b", "a compressed file"),
        (b"7z\xbc\xaf\x27\x1c", "an archive"),
        (b"\x7fELF", "a program"),
        (b"{\\rtf", "rich text"),
        (b"%!PS", "PostScript"),
    ];
    MARKS.iter().find(|(mark, _)| head.starts_with(mark)).map(|(_, what)| *what)
}

fn looks_like_html(head: &[u8]) -> bool {
    let start = String::from_utf8_lossy(&head[..head.len().min(512)]).trim_start().to_ascii_lowercase();
    start.starts_with("<!doctype html") || start.starts_with("<html")
}

/// Tells whether the bytes begin like UTF-16, in which every second byte may be zero.
pub(crate) fn has_utf16_mark(head: &[u8]) -> bool {
    head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff")
}

fn has_control_bytes(head: &[u8]) -> bool {
    !has_utf16_mark(head) && head.iter().any(|byte| is_control(*byte))
}

/// Tells whether a byte never stands in text: controls other than tab, line ends, form feed and escape.
pub(crate) fn is_control(byte: u8) -> bool {
    matches!(byte, 0..=8 | 11 | 14..=26 | 28..=31 | 127)
}

#[cfg(test)]
mod tests {
    use super::MediaType;
    use fault::Fault as _;

    #[track_caller]
    fn check(head: &[u8], name: &str, claim: &str, expected: Result<MediaType, &str>) {
        let found = MediaType::of(head, name, claim).map_err(|error| error.failure().reason().id);
        assert_eq!(found, expected, "{name:?} {claim:?}");
    }

    #[test]
    fn the_bytes_decide_before_the_name_and_the_claim() {
        check(b"%PDF-1.7 ...", "a.txt", "text/plain", Ok(MediaType::Pdf));
        check(b"junk\n%PDF-1.4", "", "", Ok(MediaType::Pdf));
        check(b"PK\x03\x04word", "a.md", "text/markdown", Err("UNSUPPORTED_DOCUMENT_TYPE"));
        check(b"\x89PNG\r\n\x1a\n..", "", "text/plain", Err("UNSUPPORTED_DOCUMENT_TYPE"));
    }

    #[test]
    fn the_name_decides_where_the_claim_says_nothing() {
        check(b"# Title", "notes.MD", "application/octet-stream", Ok(MediaType::Markdown));
        check(b"# Title", "notes.md", "text/plain; charset=utf-8", Ok(MediaType::Markdown));
        check(b"<p>hello", "page.html", "", Ok(MediaType::Html));
        check(b"hello", "/tmp/readme.txt", "", Ok(MediaType::Text));
        check(b"hello", "page.html", "text/plain", Ok(MediaType::Text));
        check(b"a,b", "table.csv", "", Err("UNSUPPORTED_DOCUMENT_TYPE"));
        check(b"a,b", "table.txt", "text/csv", Err("UNSUPPORTED_DOCUMENT_TYPE"));
    }

    #[test]
    fn without_name_and_claim_the_bytes_are_all_there_is() {
        check(b"  <!DOCTYPE html><p>", "", "", Ok(MediaType::Html));
        check("Grüße".as_bytes(), "README", "", Ok(MediaType::Text));
        check(b"\x00\x01\x02", "", "", Err("UNSUPPORTED_DOCUMENT_TYPE"));
    }

    #[test]
    fn bytes_that_are_not_what_is_claimed_are_refused() {
        check(b"\x00\x01\x02\x03", "a.txt", "text/plain", Err("DOCUMENT_UNREADABLE"));
        check(b"hello", "a.pdf", "application/pdf", Err("DOCUMENT_UNREADABLE"));
        check(b"\xff\xfeh\x00i\x00", "a.txt", "text/plain", Ok(MediaType::Text));
    }
}
