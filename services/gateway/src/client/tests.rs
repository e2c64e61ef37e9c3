use http::HeaderValue;

use super::*;

type Lines = [(&'static str, &'static str)];
type Case = (&'static str, &'static Lines, &'static str, bool);

fn seen(peer: &str, header: ForwardedHeader, lines: &[(&'static str, &str)]) -> (String, bool) {
    let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].iter().map(|network| network.parse().unwrap()).collect();
    let proxies = Proxies::new(&trusted, header);
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    let peer = Peer { address: SocketAddr::new(peer.parse().unwrap(), 1), is_secure: false };
    let (client, is_secure) = proxies.client(peer, &headers);
    (client.to_string(), is_secure)
}

#[test]
fn only_a_trusted_proxy_says_for_whom_it_asks() {
    use ForwardedHeader::XForwardedFor as X;
    let cases: &[Case] = &[
        ("1.2.3.4", &[], "1.2.3.4", false),
        // Somebody who only says so.
        ("1.2.3.4", &[("x-forwarded-for", "9.9.9.9"), ("x-forwarded-proto", "https")], "1.2.3.4", false),
        ("10.0.0.1", &[("x-forwarded-for", "9.9.9.9"), ("x-forwarded-proto", "https")], "9.9.9.9", true),
        // What the client wrote stands left of what the proxy saw.
        ("10.0.0.1", &[("x-forwarded-for", "6.6.6.6, 9.9.9.9")], "9.9.9.9", false),
        ("10.0.0.1", &[("x-forwarded-for", "10.9.9.9, 9.9.9.9, 10.0.0.2")], "9.9.9.9", false),
        ("10.0.0.1", &[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "9.9.9.9")], "9.9.9.9", false),
        ("10.0.0.1", &[("x-forwarded-proto", "https, http")], "10.0.0.1", false),
        // A chain of proxies of ours alone.
        ("10.0.0.1", &[("x-forwarded-for", "10.0.0.3, 10.0.0.2")], "10.0.0.3", false),
        // What cannot be read is as far as it goes.
        ("10.0.0.1", &[("x-forwarded-for", "6.6.6.6, unknown, 10.0.0.2")], "10.0.0.2", false),
        ("10.0.0.1", &[("x-forwarded-for", "")], "10.0.0.1", false),
        ("10.0.0.1", &[("x-forwarded-for", "9.9.9.9:4711")], "9.9.9.9", false),
        ("fd00::1", &[("x-forwarded-for", "[2001:db8::1]:80")], "2001:db8::1", false),
        ("10.0.0.1", &[("x-forwarded-for", "::ffff:10.0.0.9, 2001:db8::2")], "2001:db8::2", false),
        ("::ffff:10.0.0.1", &[("x-forwarded-for", "::ffff:9.9.9.9")], "9.9.9.9", false),
        // The other header is the client's.
        ("10.0.0.1", &[("forwarded", "for=6.6.6.6;proto=https")], "10.0.0.1", false),
    ];
    for (peer, lines, client, is_secure) in cases {
        assert_eq!(seen(peer, X, lines), ((*client).to_owned(), *is_secure), "{peer} {lines:?}");
    }
}

#[test]
fn the_standard_header_is_read_where_it_is_chosen() {
    use ForwardedHeader::Forwarded as F;
    let cases: &[(&Lines, &str, bool)] = &[
        (&[("forwarded", "for=9.9.9.9;proto=https;by=10.0.0.1")], "9.9.9.9", true),
        (&[("forwarded", "for=6.6.6.6, For=\"[2001:db8::1]:4711\";Proto=http")], "2001:db8::1", false),
        (&[("forwarded", "for=6.6.6.6, for=_hidden")], "10.0.0.1", false),
        (&[("forwarded", "for=9.9.9.9, for=10.0.0.2")], "9.9.9.9", false),
        (&[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-proto", "https")], "10.0.0.1", false),
    ];
    for (lines, client, is_secure) in cases {
        assert_eq!(seen("10.0.0.1", F, lines), ((*client).to_owned(), *is_secure), "{lines:?}");
    }
}

#[test]
fn a_chain_without_end_is_not_walked_to_its_end() {
    let long = vec!["10.0.0.2"; 100_000].join(",");
    assert_eq!(seen("10.0.0.1", ForwardedHeader::XForwardedFor, &[("x-forwarded-for", &long)]).0, "10.0.0.2");
}
