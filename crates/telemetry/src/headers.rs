//! What is shown to the collector with every export.

use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use tonic::metadata::MetadataMap;

use crate::Error;

/// Headers of every export, such as a collector's key. Written `name=value,name=value`, values percent-encoded where they have to be,
/// as OpenTelemetry has it for `OTEL_EXPORTER_OTLP_HEADERS`. Values are never shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Headers(HeaderMap);

impl Headers {
    pub(crate) fn metadata(&self) -> MetadataMap {
        MetadataMap::from_headers(self.0.clone())
    }
}

impl FromStr for Headers {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
        pairs.map(|pair| header(pair).ok_or(Error::Headers)).collect::<Result<_, _>>().map(Self)
    }
}

fn header(pair: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = pair.split_once('=')?;
    let value = percent_decode_str(value.trim()).collect::<Vec<u8>>();
    let mut value = HeaderValue::from_bytes(&value).ok()?;
    value.set_sensitive(true);
    // What is binary has another encoding in gRPC.
    let name = HeaderName::from_bytes(name.trim().as_bytes()).ok().filter(|name| !name.as_str().ends_with("-bin"))?;
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_read_and_values_never_shown() {
        let headers: Headers = " X-Key=a%20b , authorization=Bearer%20c%3D,,".parse().unwrap();
        assert_eq!(
            (&headers.0["x-key"], &headers.0["authorization"]),
            (&HeaderValue::from_static("a b"), &HeaderValue::from_static("Bearer c="))
        );
        assert!(!format!("{headers:?}").contains("Bearer"), "{headers:?}");
        assert_eq!("".parse::<Headers>().unwrap(), Headers::default());
    }

    #[test]
    fn what_is_no_header_is_refused_without_being_shown() {
        for wrong in ["secret", "a b=secret", "key=secret%0a", "key-bin=secret", "=secret"] {
            let error = wrong.parse::<Headers>().unwrap_err();
            assert!(matches!(error, Error::Headers) && !error.to_string().contains("secret"), "{wrong}");
        }
    }
}
