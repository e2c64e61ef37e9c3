//! Pages of other origins: which of them may ask, and which may open sockets.
//!
//! Nothing here relies on cookies, so a foreign page can do no more than its user pasted into it; still nobody gets to read
//! an answer, or a socket, whom the operator has not named.

use std::time::Duration;

use fault::{Failure, reason};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use service_kit::Settings;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer, ExposeHeaders};

/// How long a browser remembers what it may.
const REMEMBERED: Duration = Duration::from_mins(10);

/// What a page may read of an answer beside its body.
const EXPOSED: [&str; 15] = [
    "idempotency-replayed",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
    "ratelimit",
    "ratelimit-policy",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "retry-after",
    "traceresponse",
    "x-request-id",
];

/// Origins that are allowed beside the gateway's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// None.
    #[default]
    Own,
    /// These, exactly as browsers write them.
    Listed(Vec<String>),
    /// Every one; an operator said so.
    Any,
}

impl Origins {
    /// Reads `GATEWAY_ALLOWED_ORIGINS`.
    pub fn read(settings: &mut Settings) -> Self {
        let name = "GATEWAY_ALLOWED_ORIGINS";
        let written: Vec<String> = settings.get(name, Vec::new());
        match written.as_slice() {
            [] => return Self::Own,
            [any] if any == "*" => return Self::Any,
            _ => {}
        }
        for origin in written.iter().filter(|origin| !is_origin(origin)) {
            let rule = "is no origin: scheme and host, in small letters, and a port that is not the usual one";
            settings.reject(name, format!("`{origin}` {rule}; `*` stands alone"));
        }
        Self::Listed(written)
    }

    fn allows(&self, origin: &str) -> bool {
        match self {
            Self::Own => false,
            Self::Listed(listed) => listed.iter().any(|allowed| allowed == origin),
            Self::Any => true,
        }
    }

    /// Returns what answers the questions of browsers; nothing when pages of no other origin may ask.
    pub(crate) fn layer(&self) -> Option<CorsLayer> {
        let allowed = match self {
            Self::Own => return None,
            Self::Any => AllowOrigin::any(),
            Self::Listed(listed) => {
                AllowOrigin::list(listed.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
            }
        };
        let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        Some(
            CorsLayer::new()
                .allow_origin(allowed)
                .allow_methods(methods)
                // Whoever may ask may ask with whatever the routes know.
                .allow_headers(AllowHeaders::mirror_request())
                .expose_headers(ExposeHeaders::list(EXPOSED.map(HeaderName::from_static)))
                .max_age(REMEMBERED),
        )
    }

    /// Refuses a socket that a page of an origin opens that is neither the gateway's own nor allowed: for sockets browsers ask
    /// nobody. Who is no browser names none.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else { return Ok(()) };
        let origin = origin.to_str().ok().filter(|_| origins.next().is_none()).unwrap_or_default();
        if is_own(origin, headers) || self.allows(origin) {
            return Ok(());
        }
        let text = "pages of this origin may not open sockets here";
        Err(Failure::new(&reason::ORIGIN_NOT_ALLOWED, text).field("Origin"))
    }
}

/// Tells whether a page comes from the host that it asks.
fn is_own(origin: &str, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let usual = if scheme == "https" { ":443" } else { ":80" };
    let bare = |authority: &str| authority.strip_suffix(usual).unwrap_or(authority).to_ascii_lowercase();
    !host.is_empty() && bare(authority) == bare(host)
}

/// Tells whether a text is an origin as browsers write it.
fn is_origin(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    let usual = matches!((scheme, uri.port_u16()), ("http", Some(80)) | ("https", Some(443)));
    let plain = !authority.is_empty() && !authority.contains(['/', '@', '?', '#', '*']);
    uri.authority().is_some() && plain && !usual && text == text.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Origins, Option<String>) {
        let mut settings = Settings::from_pairs(&[("GATEWAY_ALLOWED_ORIGINS", text)]);
        let origins = Origins::read(&mut settings);
        (origins, settings.finish().err().map(|invalid| invalid.to_string()))
    }

    #[test]
    fn origins_are_exact_or_refused() {
        assert_eq!(read(""), (Origins::Own, None));
        assert_eq!(read("*"), (Origins::Any, None));
        let listed = vec!["https://app.example".to_owned(), "http://localhost:3000".to_owned()];
        assert_eq!(read("https://app.example, http://localhost:3000"), (Origins::Listed(listed), None));
        for wrong in
            ["app.example", "https://app.example/", "https://*.example", "https://App.example", "*, https://a.example"]
        {
            assert!(read(wrong).1.is_some_and(|text| text.contains("GATEWAY_ALLOWED_ORIGINS")), "{wrong}");
        }
        for wrong in ["https://app.example:443", "https://user@app.example", "null", "https://"] {
            assert!(read(wrong).1.is_some(), "{wrong}");
        }
    }

    #[test]
    fn a_socket_is_opened_by_own_pages_listed_ones_and_who_has_no_page() {
        let origins = Origins::Listed(vec!["https://app.example".to_owned()]);
        let refused = |host: &str, origin: &[&str]| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            for origin in origin {
                headers.append(header::ORIGIN, origin.parse().unwrap());
            }
            origins.check(&headers).is_err()
        };
        assert!(!refused("nooble.example", &[]));
        assert!(!refused("nooble.example", &["https://app.example"]));
        assert!(!refused("nooble.example", &["https://nooble.example"]));
        assert!(!refused("nooble.example:443", &["https://nooble.example"]));
        assert!(!refused("localhost:8008", &["http://localhost:8008"]));
        for evil in [
            "https://evil.example",
            "null",
            "https://app.example.evil",
            "http://app.example",
            "https://nooble.example:8443",
        ] {
            assert!(refused("nooble.example", &[evil]), "{evil}");
        }
        assert!(refused("nooble.example", &["https://app.example", "https://app.example"]), "two are none");
        assert!(refused("", &["https://"]));
    }
}
