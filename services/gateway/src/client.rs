//! Who a request comes from. A proxy that is trusted says for whom it asks; everybody else only says so.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, Request, header};
use ipnet::IpNet;

/// Most addresses of a chain of proxies that are looked at.
const LONGEST_CHAIN: usize = 32;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The address of the client that sent a request; an extension of every request. It is what limits by address count by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// Whether the client's side of the connection is encrypted; an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Secure(pub(crate) bool);

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// Where it comes from.
    pub(crate) address: SocketAddr,
    /// Whether it is encrypted.
    pub(crate) is_secure: bool,
}

/// Where proxies write for whom they ask. The other header is whatever the client likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For` and `X-Forwarded-Proto`.
    #[default]
    XForwardedFor,
    /// `Forwarded`, RFC 7239.
    Forwarded,
}

/// The proxies that are believed. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Proxies {
    trusted: Arc<[IpNet]>,
    header: ForwardedHeader,
}

impl Proxies {
    /// Takes the networks that proxies are in, and the header that they write.
    pub(crate) fn new(trusted: &[IpNet], header: ForwardedHeader) -> Self {
        Self { trusted: trusted.into(), header }
    }

    /// Tells whether an address is that of a proxy.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|network| network.contains(&address))
    }

    /// Notes in a request who sent it.
    pub(crate) fn tell<B>(&self, peer: Peer, request: &mut Request<B>) {
        let (address, is_secure) = self.client(peer, request.headers());
        request.extensions_mut().insert(ClientAddress(address));
        request.extensions_mut().insert(Secure(is_secure));
    }

    /// Walks from the nearest hop to the first one that is not a proxy of ours: whatever stands further left, that one wrote.
    fn client(&self, peer: Peer, headers: &HeaderMap) -> (IpAddr, bool) {
        let mut client = peer.address.ip().to_canonical();
        if !self.trusts(client) {
            return (client, peer.is_secure);
        }
        let is_secure = self.proto(headers).map_or(peer.is_secure, |proto| proto.eq_ignore_ascii_case("https"));
        for hop in self.hops(headers).into_iter().rev().take(LONGEST_CHAIN) {
            // A proxy of ours that hides or garbles where it was asked from is as far as is known.
            let Some(address) = hop else { break };
            client = address.to_canonical();
            if !self.trusts(client) {
                break;
            }
        }
        (client, is_secure)
    }

    /// Returns the hops as they are written, the furthest first.
    fn hops(&self, headers: &HeaderMap) -> Vec<Option<IpAddr>> {
        match self.header {
            ForwardedHeader::XForwardedFor => items(headers, &FORWARDED_FOR).map(address).collect(),
            ForwardedHeader::Forwarded => {
                items(headers, &header::FORWARDED).map(|element| parameter(element, "for").and_then(address)).collect()
            }
        }
    }

    /// Returns the scheme that the nearest proxy was asked by.
    fn proto<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        match self.header {
            ForwardedHeader::XForwardedFor => items(headers, &FORWARDED_PROTO).last(),
            ForwardedHeader::Forwarded => parameter(items(headers, &header::FORWARDED).last()?, "proto"),
        }
    }
}

/// Returns the parts of a header that is a list, over all lines in which it stands.
fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

/// Returns a parameter of an element of `Forwarded`.
fn parameter<'a>(element: &'a str, wanted: &str) -> Option<&'a str> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let found =
        pairs.map(|(name, value)| (name.trim(), value.trim())).find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    found.map(|(_, value)| value.trim_matches('"'))
}

/// Reads an address, with or without a port: `10.0.0.1`, `10.0.0.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests;
