//! A public address, read.

use action::TenantId;
use http::{Request, header};

/// Whose address a request was sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) tenant: String,
    pub(super) slug: String,
}

impl Place {
    /// Reads `/{tenant}/{slug}`, or `/{slug}` at a subdomain of `domain`; nothing for anything else.
    pub(super) fn of<B>(request: &Request<B>, domain: Option<&str>) -> Option<Self> {
        let mut segments = request.uri().path().strip_prefix('/')?.split('/');
        let (first, second, more) = (segments.next()?, segments.next(), segments.next());
        if more.is_some() {
            return None;
        }
        let (tenant, slug) = match second {
            Some(slug) => (first.to_owned(), slug),
            None => (subdomain(request, domain?)?, first),
        };
        let plain = |text: &str| !text.is_empty() && text.bytes().all(is_plain);
        (!TenantId::is_reserved(&tenant) && plain(&tenant) && plain(slug))
            .then(|| Self { tenant, slug: slug.to_owned() })
    }
    /// Returns the tenant that is named, in the one spelling of its name that visits are counted under: management tells
    /// neither capitals from small letters nor `_` from `-`. None where no tenant can be named so.
    pub(super) fn named(&self) -> Option<TenantId> {
        self.tenant.to_ascii_lowercase().replace('_', "-").parse().ok()
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// Returns the one label before the domain that a request was sent to.
fn subdomain<B>(request: &Request<B>, domain: &str) -> Option<String> {
    // HTTP/2 has the host in the address.
    let in_header = || request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = request.uri().host().or_else(in_header)?;
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host).to_ascii_lowercase();
    let label = host.strip_suffix(domain)?.strip_suffix('.')?;
    (!label.contains('.')).then(|| label.to_owned())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::Place;

    fn place(path: &str, host: &str) -> Option<(String, String)> {
        let request = Request::builder().uri(path).header("host", host).body(()).expect("a request");
        Place::of(&request, Some("nooble.example")).map(|place| (place.tenant, place.slug))
    }

    #[test]
    fn an_address_is_a_path_or_a_subdomain_and_a_path() {
        let acme = Some(("acme".to_owned(), "sales".to_owned()));
        assert_eq!(place("/acme/sales", "localhost:8008"), acme);
        assert_eq!(place("/sales", "acme.nooble.example"), acme);
        assert_eq!(place("/sales", "ACME.Nooble.Example:8443"), acme);
        assert_eq!(place("/acme/sales", "other.nooble.example"), acme, "the path says more than the host");
    }

    #[test]
    fn a_tenant_is_counted_under_one_name_however_it_is_spelled() {
        let named = |tenant: &str| Place { tenant: tenant.to_owned(), slug: "sales".to_owned() }.named();
        let acme = Some("acme-1".parse().expect("a tenant"));
        assert_eq!([named("acme-1"), named("ACME_1"), named("Acme-1")], [acme.clone(), acme.clone(), acme]);
        assert_eq!(named("ab"), None, "too short for a tenant");
    }

    #[test]
    fn everything_else_is_none() {
        for (path, host) in [
            ("/", "acme.nooble.example"),
            ("/sales", "nooble.example"),
            ("/sales", "localhost"),
            ("/sales", "a.b.nooble.example"),
            ("/sales", "evil-nooble.example"),
            ("/acme/sales/more", "localhost"),
            ("/acme/", "localhost"),
            ("//sales", "localhost"),
            ("/api/sales", "localhost"),
            ("/V1/models", "localhost"),
            ("/acme/sa%2fles", "localhost"),
            ("/sales", "www.nooble.example"),
        ] {
            assert_eq!(place(path, host), None, "{host}{path}");
        }
    }
}
