//! The connection that everybody shares.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, Value};
use tokio::sync::RwLock;

use crate::{Blocking, Error, Script, ServerInfo};

/// No command on the shared connection waits, so an answer that takes longer means that Redis is away.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A Redis server. Cloning is cheap; all clones share one multiplexed connection.
#[derive(Clone)]
pub struct Redis {
    client: Client,
    shared: Arc<RwLock<Shared>>,
}

#[derive(Default)]
struct Shared {
    current: Option<Generation>,
    /// When dialling failed last, and how.
    failed: Option<(Instant, Error)>,
}

/// A connection and its number, so that of many callers who see it fail only one replaces it.
#[derive(Clone)]
struct Generation {
    number: u64,
    connection: MultiplexedConnection,
}

impl Redis {
    /// Takes the URL of a server, `redis://[:password@]host:port/db`, `rediss://…` or `unix:///path`, and connects.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let redis = Self::open(url)?;
        redis.ping().await?;
        Ok(redis)
    }

    /// Takes the URL of a server that may be away for now; the first command connects.
    pub fn open(url: &str) -> Result<Self, Error> {
        let client = Client::open(url).map_err(Error::Url)?;
        Ok(Self { client, shared: Arc::default() })
    }

    /// Runs a command that answers at once.
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        let current = self.current().await?;
        let answer = command.query_async(&mut current.connection.clone()).await;
        self.settle(current.number, answer).await
    }

    /// Runs several commands in one round trip.
    pub async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, Error> {
        let current = self.current().await?;
        let answer = pipeline.query_async(&mut current.connection.clone()).await;
        self.settle(current.number, answer).await
    }

    /// Runs a script. A server that does not know it is told its source first.
    pub async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[Vec<u8>],
    ) -> Result<T, Error> {
        let mut call = redis::cmd("EVALSHA");
        call.arg(script.hash()).arg(keys.len());
        for key in keys {
            call.arg(*key);
        }
        for argument in arguments {
            call.arg(argument.as_slice());
        }
        match self.query(&call).await {
            Err(Error::Refused(error)) if is_unknown(&error) => {
                self.query::<Value>(redis::cmd("SCRIPT").arg("LOAD").arg(script.source())).await?;
                self.query(&call).await
            }
            answer => answer,
        }
    }

    /// Opens a connection of its own for commands that wait.
    pub async fn blocking(&self) -> Result<Blocking, Error> {
        // The default of half a second would cut every wait short and stall whatever is sent next.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT)).set_response_timeout(None);
        Ok(Blocking::new(self.client.get_multiplexed_async_connection_with_config(&config).await?))
    }

    /// Opens a connection of its own that receives what is published.
    pub async fn subscriber(&self) -> Result<PubSub, Error> {
        let opening = self.client.get_async_pubsub();
        match tokio::time::timeout(CONNECT_TIMEOUT, opening).await {
            Ok(opened) => Ok(opened?),
            Err(_) => Err(Error::Unavailable((redis::ErrorKind::Io, "no connection in time").into())),
        }
    }

    /// Returns whether the server answers.
    pub async fn ping(&self) -> Result<(), Error> {
        self.query::<String>(&redis::cmd("PING")).await.map(|_| ())
    }

    /// Returns what the server says about itself.
    pub async fn server(&self) -> Result<ServerInfo, Error> {
        let info: String = self.query(&redis::cmd("INFO")).await?;
        Ok(ServerInfo::parse(&info))
    }

    async fn current(&self) -> Result<Generation, Error> {
        if let Some(current) = self.shared.read().await.current.clone() {
            return Ok(current);
        }
        let asked = Instant::now();
        let mut shared = self.shared.write().await;
        if let Some(current) = shared.current.clone() {
            return Ok(current);
        }
        // Whoever waited while another one dialled in vain has the answer: dialling once each would make the last of
        // many callers wait for minutes.
        if let Some((failed, error)) = &shared.failed
            && *failed >= asked
        {
            return Err(error.clone());
        }
        match self.dial().await {
            Ok(connection) => {
                let fresh = Generation { number: next_number(), connection };
                *shared = Shared { current: Some(fresh.clone()), failed: None };
                Ok(fresh)
            }
            Err(error) => {
                shared.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn dial(&self) -> Result<MultiplexedConnection, Error> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        Ok(self.client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    /// Passes an answer on; a connection that failed is given up, so that the next command dials again.
    async fn settle<T>(&self, number: u64, answer: Result<T, redis::RedisError>) -> Result<T, Error> {
        let error = match answer {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let error = Error::from(error);
        if matches!(error, Error::Unavailable(_)) {
            let mut shared = self.shared.write().await;
            if shared.current.as_ref().is_some_and(|current| current.number == number) {
                shared.current = None;
            }
        }
        Err(error)
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may hold a password, so it is not shown.
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}

fn is_unknown(error: &redis::RedisError) -> bool {
    error.code() == Some("NOSCRIPT") || error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::NoScript)
}

fn next_number() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
