//! Trace context in and out of HTTP headers and gRPC metadata.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use tonic::metadata::{MetadataMap, MetadataValue};

use crate::context::{TRACEPARENT, TRACESTATE};

/// The names, read once: a map that is asked for a text reads it as a name every time.
const PARENT: HeaderName = HeaderName::from_static(TRACEPARENT);
const STATE: HeaderName = HeaderName::from_static(TRACESTATE);

/// A carrier of the two headers of the W3C trace context.
pub trait Carrier {
    /// Sets one header; a value that the transport cannot carry is left out.
    fn put(&mut self, name: &'static str, value: &str);
}

impl Carrier for HeaderMap {
    fn put(&mut self, name: &'static str, value: &str) {
        if let Ok(mut value) = HeaderValue::from_str(value) {
            // It never comes again, so HTTP/2 need not remember it, in the place of what does.
            value.set_sensitive(true);
            self.insert(HeaderName::from_static(name), value);
        }
    }
}

impl Carrier for MetadataMap {
    fn put(&mut self, name: &'static str, value: &str) {
        if let Ok(value) = MetadataValue::try_from(value) {
            self.insert(name, value);
        }
    }
}

/// Writes the context of the current span into what is sent; nothing when there is none.
pub fn inject(carrier: &mut impl Carrier) {
    let (traceparent, tracestate) = crate::current();
    if !traceparent.is_empty() {
        carrier.put(TRACEPARENT, &traceparent);
    }
    if !tracestate.is_empty() {
        carrier.put(TRACESTATE, &tracestate);
    }
}

/// Reads `traceparent` and `tracestate` from what was received; absent and unreadable ones are empty.
pub fn extract(headers: &HeaderMap) -> (String, String) {
    (first(headers, &PARENT), joined(headers))
}

/// Reads `traceparent` and `tracestate` from gRPC metadata.
pub fn extract_metadata(metadata: &MetadataMap) -> (String, String) {
    extract(metadata.as_ref())
}

fn first(headers: &HeaderMap, name: &HeaderName) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// `tracestate` may be split over several headers; they are one list.
fn joined(headers: &HeaderMap) -> String {
    let parts: Vec<&str> = headers.get_all(&STATE).iter().filter_map(|value| value.to_str().ok()).collect();
    parts.join(",")
}
