//! Settings of a host.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::Settings;

/// Port of the gRPC façades unless another is set.
pub(crate) const DEFAULT_PORT: u16 = 50051;

/// Part of the grace that workers have; the rest is for calls.
pub(crate) const WORKERS_SHARE: f32 = 0.7;

/// Which part of its services a process runs, so that façades and workers scale apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// Façades and workers.
    #[default]
    All,
    /// Façades, tasks and session streams.
    Api,
    /// Claim loops; the gRPC port has health and reflection only.
    Worker,
}

impl Part {
    /// Tells whether façades are served.
    pub fn serves(self) -> bool {
        self != Self::Worker
    }

    /// Tells whether workers run.
    pub fn works(self) -> bool {
        self != Self::Api
    }
}

/// What a [`Host`](super::Host) is bound with.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// `GRPC_ADDRESS`.
    pub grpc: SocketAddr,
    /// `ADMIN_ADDRESS`; none for no admin port.
    pub admin: Option<SocketAddr>,
    /// `DRAIN_GRACE`: longest time from the signal to the end.
    pub grace: Duration,
    /// `GRPC_DEADLINE`: time for a call whose caller names none.
    pub deadline: Duration,
    /// `GRPC_MAX_CALLS`: most calls at once.
    pub max_calls: usize,
    /// `GRPC_MAX_CONNECTIONS`: most connections at once.
    pub max_connections: usize,
    /// Which part runs.
    pub part: Part,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            grpc: ([127, 0, 0, 1], DEFAULT_PORT).into(),
            admin: Some(([127, 0, 0, 1], 9464).into()),
            grace: Duration::from_secs(20),
            deadline: Duration::from_secs(30),
            max_calls: 4096,
            max_connections: 10_000,
            part: Part::All,
        }
    }
}

impl HostConfig {
    /// Takes free ports of the loopback, for tests.
    pub fn anywhere() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { grpc: any, admin: Some(any), ..Self::default() }
    }

    /// Reads the settings.
    pub fn read(settings: &mut Settings) -> Self {
        let default = Self::default();
        let shortest = Duration::from_millis(1);
        let admin = default.admin.expect("the default has an admin port");
        Self {
            grpc: settings.get("GRPC_ADDRESS", default.grpc),
            admin: Some(settings.get("ADMIN_ADDRESS", admin)),
            grace: read_grace(settings),
            deadline: settings.get_in("GRPC_DEADLINE", default.deadline, shortest..),
            max_calls: settings.get_in("GRPC_MAX_CALLS", default.max_calls, 1..=1_000_000),
            max_connections: settings.get_in("GRPC_MAX_CONNECTIONS", default.max_connections, 1..),
            part: default.part,
        }
    }
}

pub(crate) fn read_grace(settings: &mut Settings) -> Duration {
    settings.get_in("DRAIN_GRACE", HostConfig::default().grace, Duration::from_millis(100)..)
}
