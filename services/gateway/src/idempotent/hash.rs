//! What makes a request the same as one before: the print of its body and of the headers that say what it is about.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use fault::{Failure, reason};
use futures::{StreamExt as _, TryStreamExt as _};
use http::header;
use sha2::{Digest as _, Sha256};

use crate::headers;

/// What makes a request another one: its body, and the headers that say what it is about. The boundary between the parts of a form
/// counts for nothing, because clients make up another one every time.
#[derive(Clone)]
pub(super) struct Hash(Arc<Mutex<Hashing>>);

struct Hashing {
    hash: Sha256,
    boundary: Vec<u8>,
    /// What was read and may be the beginning of a boundary.
    held: Vec<u8>,
    whole: bool,
}

impl Hash {
    pub(super) fn of(headers: &http::HeaderMap) -> Self {
        let mut hash = Sha256::new();
        for name in headers::ABOUT {
            for value in headers.get_all(name) {
                hash.update(name.as_bytes());
                hash.update(value.as_bytes());
                hash.update([0]);
            }
        }
        hash.update([1]);
        let boundary = boundary(headers).unwrap_or_default();
        Self(Arc::new(Mutex::new(Hashing { hash, boundary, held: Vec::new(), whole: false })))
    }

    pub(super) fn add(&self, bytes: &[u8]) {
        self.hashing().add(bytes);
    }

    pub(super) fn print(&self) -> [u8; 32] {
        let hashing = self.hashing();
        let mut hash = hashing.hash.clone();
        hash.update(&hashing.held);
        hash.finalize().into()
    }

    pub(super) fn is_whole(&self) -> bool {
        self.hashing().whole
    }

    pub(super) fn end(&self) {
        self.hashing().whole = true;
    }

    fn hashing(&self) -> std::sync::MutexGuard<'_, Hashing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees a body as it is read.
    pub(super) fn watch(&self, body: Body) -> Body {
        let (hash, ended) = (self.clone(), self.clone());
        let seen = body.into_data_stream().inspect_ok(move |chunk| hash.add(chunk));
        let end = futures::stream::poll_fn(move |_| {
            ended.end();
            std::task::Poll::Ready(None)
        });
        Body::from_stream(seen.chain(end))
    }

    /// Reads a body and throws it away.
    pub(super) async fn drain(&self, body: Body, most: u64) -> Result<(), Failure> {
        let mut stream = body.into_data_stream();
        let mut size = 0;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|_| Failure::new(&reason::INVALID_REQUEST, "the body broke off"))?;
            size += chunk.len() as u64;
            if size > most {
                return Err(Failure::new(
                    &reason::BODY_TOO_LARGE,
                    "the body is larger than the one before can have been",
                ));
            }
            self.add(&chunk);
        }
        self.end();
        Ok(())
    }
}

impl Hashing {
    /// Hashes bytes without the boundary, wherever they are cut.
    fn add(&mut self, bytes: &[u8]) {
        if self.boundary.is_empty() {
            return self.hash.update(bytes);
        }
        self.held.extend_from_slice(bytes);
        let length = self.boundary.len();
        let mut from = 0;
        let mut at = 0;
        while at + length <= self.held.len() {
            if self.held[at..at + length] == self.boundary[..] {
                self.hash.update(&self.held[from..at]);
                at += length;
                from = at;
            } else {
                at += 1;
            }
        }
        self.hash.update(&self.held[from..at.max(from)]);
        self.held.drain(..at.max(from));
    }
}

/// Returns what stands between the parts of a form.
fn boundary(headers: &http::HeaderMap) -> Option<Vec<u8>> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let given = kind.split(';').find_map(|part| part.trim().strip_prefix("boundary="))?;
    Some(given.trim_matches('"').as_bytes().to_vec()).filter(|boundary| !boundary.is_empty())
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::Hash;

    /// Hashes a form in pieces of a size.
    fn print(boundary: &str, text: &str, size: usize) -> [u8; 32] {
        let mut headers = HeaderMap::new();
        let kind = format!("multipart/form-data; boundary={boundary}");
        headers.insert("content-type", kind.parse().expect("a header"));
        let hash = Hash::of(&headers);
        let body = format!("--{boundary}\r\n\r\n{text}\r\n--{boundary}--\r\n");
        body.as_bytes().chunks(size).for_each(|piece| hash.add(piece));
        hash.print()
    }

    #[test]
    fn a_form_is_the_same_whatever_stands_between_its_parts_and_however_it_is_cut() {
        let whole = print("one", "a text", 1000);
        for size in 1..40 {
            assert_eq!(print("another-boundary", "a text", size), whole, "in pieces of {size}");
            assert_ne!(print("one", "b text", size), whole);
        }
        assert_ne!(print("one", "a tex", 1000), whole);
    }
}
