//! Where the processes of a service are right now.

use std::io;
use std::net::{IpAddr, SocketAddr};

use futures::future::BoxFuture;
use http::Uri;
use http::uri::{Authority, Scheme};

/// Turns the name of a service into the addresses of its processes. Asked again every few seconds.
pub trait Resolve: Send + Sync + std::fmt::Debug {
    /// Returns the addresses that a name has now.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;
}

/// Asks the resolver of the system: `/etc/hosts`, DNS.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dns;

impl Resolve for Dns {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// What a URL of the settings says.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// What requests name as their host.
    pub(super) authority: Authority,
    /// Name to resolve, and to find in a certificate.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Target {
    /// Takes a URL apart; one without a host stands for nobody.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        let authority = uri.authority()?.clone();
        let by_scheme = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
        let port = authority.port_u16().unwrap_or(by_scheme);
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Self { authority, host, port })
    }

    /// Returns the address where the URL names one rather than a name.
    pub(super) fn literal(&self) -> Option<SocketAddr> {
        self.host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, self.port))
    }
}
