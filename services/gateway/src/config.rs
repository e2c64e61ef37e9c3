//! What an operator may set. The mission's names where it has them, `GATEWAY_` for the rest.

use std::net::IpAddr;
use std::time::Duration;

use action::Tier;
use ipnet::IpNet;
use service_kit::Settings;
use service_kit::tls::TlsFiles;

use crate::client::ForwardedHeader;
use crate::origin::Origins;

const FORWARDED_HEADERS: [(&str, ForwardedHeader); 2] =
    [("x-forwarded-for", ForwardedHeader::XForwardedFor), ("forwarded", ForwardedHeader::Forwarded)];

/// Settings of the gateway. `deploy/config/gateway.toml` is the commented reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `ORCHESTRATOR_ENABLE_ACCESS_VALIDATION`: whether a caller is refused at once who may not use the agent or collection
    /// that it names. What a token limits is kept in any case.
    pub enable_access_validation: bool,
    /// `ORCHESTRATOR_MAX_WEBSOCKET_CONNECTIONS`: sockets of this process.
    pub max_sockets: usize,
    /// `WEBSOCKET_CONNECTIONS_{TIER}`: sockets of one tenant, all processes together; the lowest tier
    /// first.
    pub connections: [u32; 4],
    /// `GATEWAY_WEBSOCKET_CONNECTIONS_PER_USER`: sockets of one user of a tenant, all processes together.
    pub connections_per_user: u32,
    /// `ORCHESTRATOR_WEBSOCKET_PING_INTERVAL`: time between pings on a socket.
    pub ping_interval: Duration,
    /// `ORCHESTRATOR_WEBSOCKET_PING_TIMEOUT`: time for the answer to a ping.
    pub ping_timeout: Duration,
    /// `GATEWAY_WEBSOCKET_AUTH_TIMEOUT`: time for the `auth` frame of a socket that came without a credential.
    pub auth_timeout: Duration,
    /// `GATEWAY_WEBSOCKET_WRITE_TIMEOUT`: time for a client to take one frame.
    pub write_timeout: Duration,
    /// `GATEWAY_WEBSOCKET_MAX_MESSAGE_BYTES`: bytes of one message of a client.
    pub max_message_bytes: usize,
    /// `GATEWAY_SOCKET_FRAMES_PER_SECOND`: frames that a client may send on one socket, in the long run.
    pub socket_frames_per_second: u32,
    /// `GATEWAY_SOCKET_FRAMES_BURST`: frames that a client may send on one socket at once.
    pub socket_frames_burst: u32,
    /// `GATEWAY_WEBSOCKET_BACKLOG_FRAMES`: frames that wait for one socket before they wait in the log.
    pub backlog_frames: usize,
    /// `GATEWAY_WEBSOCKET_BACKLOG_BYTES`: bytes that wait for one socket before they wait in the log.
    pub backlog_bytes: usize,
    /// `GATEWAY_MAX_BODY_BYTES`: bytes of a JSON body.
    pub max_body_bytes: usize,
    /// `GATEWAY_HEADER_TIMEOUT`: time for the headers of a request, from their first byte, and for the first request.
    pub header_timeout: Duration,
    /// `GATEWAY_IDLE_TIMEOUT`: time for a kept connection to send the next request.
    pub idle_timeout: Duration,
    /// `GATEWAY_MAX_CONNECTIONS`: connections of this process; sockets are counted apart.
    pub max_connections: usize,
    /// `GATEWAY_MAX_CONNECTIONS_PER_ADDRESS`: connections from one address.
    pub max_connections_per_address: usize,
    /// `GATEWAY_TLS_CERT`, `GATEWAY_TLS_KEY`: the certificate; none for plain HTTP.
    pub tls: Option<TlsFiles>,
    /// `GATEWAY_H2C`: whether HTTP/2 is spoken without TLS, to clients that begin with it.
    pub h2c: bool,
    /// `GATEWAY_ALLOWED_ORIGINS`: pages of which other origins may ask.
    pub allowed_origins: Origins,
    /// `GATEWAY_TRUSTED_PROXIES`: networks of proxies that are believed for whom they ask.
    pub trusted_proxies: Vec<IpNet>,
    /// `GATEWAY_FORWARDED_HEADER`: where they say so.
    pub forwarded_header: ForwardedHeader,
    /// `GATEWAY_PUBLIC_DOMAIN`: domain whose subdomains are tenants' public addresses.
    pub public_domain: Option<String>,
    /// `GATEWAY_PUBLIC_REQUESTS_PER_MINUTE`: messages from one address to the public agents of a tenant.
    pub public_per_minute: u32,
    /// `GATEWAY_PUBLIC_VISITS_PER_MINUTE`: requests of any kind from one address to what a tenant made public, all processes
    /// together.
    pub public_visits_per_minute: u32,
    /// `GATEWAY_BODY_TIMEOUT`: time for a JSON body.
    pub body_timeout: Duration,
    /// `GATEWAY_UPLOAD_TIMEOUT`: time for an upload.
    pub upload_timeout: Duration,
    /// `GATEWAY_CALL_TIMEOUT`: time for a call to another service.
    pub call_timeout: Duration,
    /// `GATEWAY_DRAIN_DELAY`: time between saying that the process ends and taking no more connections.
    pub drain_delay: Duration,
    /// `GATEWAY_DRAIN_GRACE`: time for everything to end after that.
    pub drain_grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enable_access_validation: true,
            max_sockets: 1000,
            connections: [10, 50, 200, 1000],
            connections_per_user: 20,
            ping_interval: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(10),
            auth_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(10),
            max_message_bytes: 64 * 1024,
            socket_frames_per_second: 20,
            socket_frames_burst: 50,
            backlog_frames: 256,
            backlog_bytes: 1024 * 1024,
            max_body_bytes: 256 * 1024,
            header_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_mins(1),
            max_connections: 10_000,
            max_connections_per_address: 1_000,
            tls: None,
            h2c: false,
            allowed_origins: Origins::default(),
            trusted_proxies: Vec::new(),
            forwarded_header: ForwardedHeader::default(),
            public_domain: None,
            public_per_minute: 20,
            public_visits_per_minute: 1_200,
            body_timeout: Duration::from_secs(15),
            upload_timeout: Duration::from_mins(5),
            call_timeout: Duration::from_secs(10),
            drain_delay: Duration::from_secs(1),
            drain_grace: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// Reads the settings; mistakes are reported by [`Settings::finish`].
    pub fn read(settings: &mut Settings) -> Self {
        let default = Self::default();
        let shortest = Duration::from_millis(1);
        let enable_access_validation =
            settings.get("ORCHESTRATOR_ENABLE_ACCESS_VALIDATION", default.enable_access_validation);
        let mut time = |name: &str, default: Duration| settings.get_in(name, default, shortest..);
        let ping_interval = time("ORCHESTRATOR_WEBSOCKET_PING_INTERVAL", default.ping_interval);
        let ping_timeout = time("ORCHESTRATOR_WEBSOCKET_PING_TIMEOUT", default.ping_timeout);
        let auth_timeout = time("GATEWAY_WEBSOCKET_AUTH_TIMEOUT", default.auth_timeout);
        let write_timeout = time("GATEWAY_WEBSOCKET_WRITE_TIMEOUT", default.write_timeout);
        let header_timeout = time("GATEWAY_HEADER_TIMEOUT", default.header_timeout);
        let idle_timeout = time("GATEWAY_IDLE_TIMEOUT", default.idle_timeout);
        let body_timeout = time("GATEWAY_BODY_TIMEOUT", default.body_timeout);
        let upload_timeout = time("GATEWAY_UPLOAD_TIMEOUT", default.upload_timeout);
        let call_timeout = time("GATEWAY_CALL_TIMEOUT", default.call_timeout);
        let drain_grace = time("GATEWAY_DRAIN_GRACE", default.drain_grace);
        let public_domain = read_domain(settings);
        let mut count = |name: &str, default: u32| settings.get_in(name, default, 1..);
        let socket_frames_per_second = count("GATEWAY_SOCKET_FRAMES_PER_SECOND", default.socket_frames_per_second);
        let socket_frames_burst = count("GATEWAY_SOCKET_FRAMES_BURST", default.socket_frames_burst);
        let connections_per_user = count("GATEWAY_WEBSOCKET_CONNECTIONS_PER_USER", default.connections_per_user);
        let (public_per_minute, public_visits_per_minute) = read_public(settings, &default);
        let connections = read_connections(settings, default.connections);
        let mut number = |name: &str, default: usize, least: usize| settings.get_in(name, default, least..);
        Self {
            enable_access_validation,
            max_sockets: number("ORCHESTRATOR_MAX_WEBSOCKET_CONNECTIONS", default.max_sockets, 0),
            max_message_bytes: number("GATEWAY_WEBSOCKET_MAX_MESSAGE_BYTES", default.max_message_bytes, 1024),
            backlog_frames: number("GATEWAY_WEBSOCKET_BACKLOG_FRAMES", default.backlog_frames, 1),
            backlog_bytes: number("GATEWAY_WEBSOCKET_BACKLOG_BYTES", default.backlog_bytes, 1),
            connections,
            connections_per_user,
            socket_frames_per_second,
            socket_frames_burst,
            max_body_bytes: number("GATEWAY_MAX_BODY_BYTES", default.max_body_bytes, 1024),
            ping_interval,
            ping_timeout,
            auth_timeout,
            write_timeout,
            header_timeout,
            idle_timeout,
            max_connections: number("GATEWAY_MAX_CONNECTIONS", default.max_connections, 1),
            max_connections_per_address: number(
                "GATEWAY_MAX_CONNECTIONS_PER_ADDRESS",
                default.max_connections_per_address,
                1,
            ),
            tls: TlsFiles::read_edge(settings),
            h2c: settings.get("GATEWAY_H2C", default.h2c),
            allowed_origins: Origins::read(settings),
            trusted_proxies: read_networks(settings),
            forwarded_header: settings.choose("GATEWAY_FORWARDED_HEADER", "x-forwarded-for", &FORWARDED_HEADERS),
            public_domain,
            public_per_minute,
            public_visits_per_minute,
            body_timeout,
            upload_timeout,
            call_timeout,
            drain_delay: settings.get("GATEWAY_DRAIN_DELAY", default.drain_delay),
            drain_grace,
        }
    }
}

/// Reads how much one address may ask of what is public: messages, and requests of any kind.
fn read_public(settings: &mut Settings, default: &Config) -> (u32, u32) {
    let messages = settings.get_in("GATEWAY_PUBLIC_REQUESTS_PER_MINUTE", default.public_per_minute, 1..);
    let visits = settings.get_in("GATEWAY_PUBLIC_VISITS_PER_MINUTE", default.public_visits_per_minute, 1..);
    (messages, visits)
}

/// Reads `WEBSOCKET_CONNECTIONS_{TIER}`.
fn read_connections(settings: &mut Settings, mut connections: [u32; 4]) -> [u32; 4] {
    for tier in Tier::ALL {
        let name = format!("WEBSOCKET_CONNECTIONS_{}", tier.as_str().to_uppercase());
        connections[tier as usize] = settings.get_in(&name, connections[tier as usize], 1..);
    }
    connections
}

/// Reads `GATEWAY_TRUSTED_PROXIES`: networks such as `10.0.0.0/8`, or single addresses.
fn read_networks(settings: &mut Settings) -> Vec<IpNet> {
    let name = "GATEWAY_TRUSTED_PROXIES";
    let written: Vec<String> = settings.get(name, Vec::new());
    let read =
        |text: &String| text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| text.clone());
    let (read, wrong): (Vec<_>, Vec<_>) = written.iter().map(read).partition(Result::is_ok);
    for text in wrong.into_iter().filter_map(Result::err) {
        settings.reject(name, format!("`{text}` is neither a network such as 10.0.0.0/8 nor an address"));
    }
    read.into_iter().filter_map(Result::ok).collect()
}

/// Reads the domain of public addresses: a plain host name.
fn read_domain(settings: &mut Settings) -> Option<String> {
    let name = "GATEWAY_PUBLIC_DOMAIN";
    let domain: String = settings.optional(name)?;
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if domain.len() > 253 || !domain.split('.').all(label) {
        settings.reject(name, format!("`{domain}` is no host name, such as nooble.example"));
        return None;
    }
    Some(domain.to_ascii_lowercase())
}
