//! How much a request may say before its body.

use axum::extract::Request;
use fault::{Failure, reason};
use http::{Version, header};

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
    let hosts = headers.get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return Err(Failure::new(&reason::INVALID_REQUEST, "a request has one Host").field("Host"));
    }
    if headers.contains_key(header::TRANSFER_ENCODING) && headers.contains_key(header::CONTENT_LENGTH) {
        let text = "a body has a length or a transfer encoding, not both";
        return Err(Failure::new(&reason::INVALID_REQUEST, text).field("Content-Length"));
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
