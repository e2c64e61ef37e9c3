//! A process part: binds, serves, works, and drains when it is told to.

mod config;
mod drain;
mod panic;
mod reflection;
mod server;
mod shed;
mod trace;

use std::future::Future;
use std::net::SocketAddr;

use futures::future::BoxFuture;
use tokio::net::TcpListener;

pub(crate) use config::{DEFAULT_PORT, WORKERS_SHARE, read_grace};
pub use config::{HostConfig, Part};
use reflection::server_reflection;
pub(crate) use trace::code_name;

use crate::{Kit, Service};

/// Why a host could not start, or ended before it was told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Addresses cannot be bound; one line each, naming the setting.
    #[error("{}", .0.join("\n  "))]
    Bind(Vec<String>),
    /// The descriptors of the contract cannot be served.
    #[error("the contract cannot be described")]
    Reflection(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The gRPC server failed.
    #[error("the gRPC server failed")]
    Server(#[source] tonic::transport::Error),
    /// A loop that must run as long as the process ended.
    #[error("a worker ended by itself")]
    Worker,
}

/// Serves and works for a set of services.
#[derive(Debug)]
pub struct Host {
    config: HostConfig,
    grpc: TcpListener,
    admin: Option<TcpListener>,
    services: Vec<Service>,
    front: Front,
}

/// What stands in front of the façades and ends before they do.
struct Front(BoxFuture<'static, ()>);

impl std::fmt::Debug for Front {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Front")
    }
}

impl Host {
    /// Binds the addresses, so that one that is taken fails the start before anything else is done. A port may be 0.
    pub async fn bind(config: HostConfig) -> Result<Self, Error> {
        let mut problems = Vec::new();
        let grpc = listen("GRPC_ADDRESS", config.grpc, &mut problems).await;
        let admin = match config.admin {
            Some(address) => listen("ADMIN_ADDRESS", address, &mut problems).await,
            None => None,
        };
        match grpc {
            Some(grpc) if problems.is_empty() => {
                let front = Front(Box::pin(std::future::ready(())));
                Ok(Self { config, grpc, admin, services: Vec::new(), front })
            }
            _ => Err(Error::Bind(problems)),
        }
    }

    /// Returns the address of the gRPC port.
    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc.local_addr().unwrap_or(self.config.grpc)
    }

    /// Returns the address of the admin port, where there is one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(|admin| admin.local_addr().ok())
    }

    /// Adds a service.
    #[must_use]
    pub fn serve(mut self, service: Service) -> Self {
        self.services.push(service);
        self
    }

    /// Says what must have ended before the façades do, e.g. an edge in this process that calls them. It is given the same
    /// part of the grace as workers.
    #[must_use]
    pub fn behind(mut self, front: impl Future<Output = ()> + Send + 'static) -> Self {
        self.front = Front(Box::pin(front));
        self
    }

    /// Serves and works until `shutdown` comes, then drains: not ready; workers stop claiming and end, and what stands in
    /// front; connections are told to go away and calls end; what is left after the grace is cut off.
    ///
    /// Fails when it cannot start, or when something ended that must not; it has drained then as well.
    pub async fn until(self, kit: &Kit, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let mut running = server::start(self, kit)?;
        kit.health.start().await;
        let ended = tokio::select! {
            () = shutdown => Ok(()),
            error = running.broken() => Err(error),
        };
        drain::run(running, kit).await;
        ended
    }
}

async fn listen(setting: &str, address: SocketAddr, problems: &mut Vec<String>) -> Option<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Some(listener),
        Err(error) => {
            problems.push(format!("{setting}: cannot listen on {address}: {error}"));
            None
        }
    }
}
