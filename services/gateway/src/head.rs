//! How much a request may say before its body.

use axum::extract::Request;
use fault::{Failure, reason};
use http::{Version, header};

/// Marks a request whose body has both a length and a transfer encoding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TwoLengths;

/// Most bytes of the line and the header fields.
pub(crate) const MOST_BYTES: usize = 16 * 1024;
/// Most header fields.
const MOST_FIELDS: usize = 64;
/// What a field costs beside its name and value.
const PER_FIELD: usize = 4;

/// Refuses requests with more than that, those whose body or host two readers may see differently, and those whose body would have to
/// be unpacked: nobody can tell beforehand how large it becomes.
pub(crate) fn check(request: &Request) -> Result<(), Failure> {
    let headers = request.headers();
    let too_large = |text| Err(Failure::new(&reason::HEADERS_TOO_LARGE, text));
    if headers.len() > MOST_FIELDS {
        return too_large(format!("a request has at most {MOST_FIELDS} header fields"));
    }
    let fields = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + PER_FIELD);
    let line = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    if fields.sum::<usize>() + line > MOST_BYTES {
        return too_large(format!("a request has at most {MOST_BYTES} bytes before its body"));
    }
    check_host(request)?;
    if request.extensions().get::<TwoLengths>().is_some() {
        let text = "a body has a length or a transfer encoding, not both";
        return Err(Failure::new(&reason::INVALID_REQUEST, text).field("Content-Length"));
    }
    let mut encodings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let (encoding, more) = (encodings.next(), encodings.next());
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"chunked")) || more.is_some() {
        let text = "the only transfer encoding is `chunked`, once";
        return Err(Failure::new(&reason::INVALID_REQUEST, text).field("Transfer-Encoding"));
    }
    if headers.get_all(header::CONTENT_TYPE).iter().count() > 1 {
        let text = "Content-Type stands more than once";
        return Err(Failure::new(&reason::DUPLICATE_HEADER, text).field("Content-Type"));
    }
    if headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        let text = "a body is sent as it is, without compression";
        return Err(Failure::new(&reason::INVALID_REQUEST, text).field("Content-Encoding"));
    }
    Ok(())
}

/// A request is sent to one host: HTTP/1.1 says it in a field, HTTP/2 in the address, and where both stand they are the same.
fn check_host(request: &Request) -> Result<(), Failure> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    let authority = request.uri().authority();
    let is_missing = match request.version() {
        Version::HTTP_09 | Version::HTTP_10 => false,
        Version::HTTP_11 => host.is_none(),
        _ => host.is_none() && authority.is_none(),
    };
    let differ = |host: &http::HeaderValue| {
        authority.is_some_and(|authority| {
            !without_port(host.as_bytes()).eq_ignore_ascii_case(without_port(authority.as_str().as_bytes()))
        })
    };
    if more.is_some() || is_missing || host.is_some_and(differ) {
        return Err(Failure::new(&reason::INVALID_REQUEST, "a request has one Host").field("Host"));
    }
    Ok(())
}

/// A host that is asked at its usual port may say so or not.
fn without_port(host: &[u8]) -> &[u8] {
    host.strip_suffix(b":443").or_else(|| host.strip_suffix(b":80")).unwrap_or(host)
}
