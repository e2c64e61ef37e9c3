//! A connection that many share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value};
use tokio::sync::Mutex;

use crate::error::{self, away, refusal};
use crate::sentinel::Sentinels;

/// No command on a shared connection waits, so an answer that takes longer means that Redis is away.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Where a line leads.
pub(crate) enum Place {
    /// To one server.
    Server(Client),
    /// To whichever server the sentinels call the master when it is dialled.
    Master(Sentinels),
}

/// A multiplexed connection that is dialled when it is needed and given up when it fails.
pub(crate) struct Line {
    place: Place,
    /// Locked for a moment, by every command.
    current: RwLock<Option<Generation>>,
    /// Locked while somebody dials. When that failed last, and how.
    dialling: Mutex<Option<(Instant, RedisError)>>,
}

/// A connection and its number, so that of many callers who see it fail only one replaces it.
#[derive(Clone)]
struct Generation {
    number: u64,
    connection: MultiplexedConnection,
}

impl Line {
    pub(crate) fn new(place: Place) -> Self {
        Self { place, current: RwLock::default(), dialling: Mutex::default() }
    }

    /// Runs a command; an error of the server is an answer here.
    pub(crate) async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        let mut current = self.current().await?;
        let answer = current.connection.req_packed_command(command).await;
        let lost = match &answer {
            Ok(value) => refusal(value).is_some_and(|error| error::is_lost(&error)),
            Err(error) => error::is_lost(error),
        };
        self.settle(current.number, lost);
        answer
    }

    /// Runs several commands in one round trip; errors of the server are answers here.
    pub(crate) async fn send_all(&self, pipeline: &Pipeline, offset: usize, count: usize) -> RedisResult<Vec<Value>> {
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        let mut current = self.current().await?;
        let answer = current.connection.req_packed_commands(pipeline, offset, count).await;
        let lost = match &answer {
            Ok(values) => values.iter().filter_map(refusal).any(|error| error::is_lost(&error)),
            Err(error) => error::is_lost(error),
        };
        self.settle(current.number, lost);
        answer
    }

    /// Opens a connection for one owner, whose commands may take as long as they say.
    pub(crate) async fn own(&self) -> RedisResult<MultiplexedConnection> {
        // The default of half a second would cut every wait short and stall whatever is sent next.
        self.place.dial(None).await
    }

    /// Opens a connection that receives what is published.
    pub(crate) async fn subscriber(&self) -> RedisResult<PubSub> {
        let opening = async { self.place.client().await?.get_async_pubsub().await };
        tokio::time::timeout(CONNECT_TIMEOUT, opening).await.unwrap_or_else(|_| Err(away("no connection in time")))
    }

    async fn current(&self) -> RedisResult<Generation> {
        match self.standing() {
            Some(current) => Ok(current),
            // Rare, and large: no command on a line that stands carries it along.
            None => Box::pin(self.dial()).await,
        }
    }

    async fn dial(&self) -> RedisResult<Generation> {
        let asked = Instant::now();
        let mut failed = self.dialling.lock().await;
        if let Some(current) = self.standing() {
            return Ok(current);
        }
        // Whoever waited while another one dialled in vain has the answer: dialling once each would make the last of
        // many callers wait for minutes.
        if let Some((at, error)) = &*failed
            && *at >= asked
        {
            return Err(error.clone());
        }
        match self.place.dial(Some(RESPONSE_TIMEOUT)).await {
            Ok(connection) => {
                let fresh = Generation { number: next_number(), connection };
                *failed = None;
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(fresh.clone());
                Ok(fresh)
            }
            Err(error) => {
                *failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    fn standing(&self) -> Option<Generation> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives a connection up that was lost, so that the next command dials again.
    fn settle(&self, number: u64, lost: bool) {
        if lost {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            if current.as_ref().is_some_and(|current| current.number == number) {
                *current = None;
            }
        }
    }
}

impl Place {
    async fn dial(&self, patience: Option<Duration>) -> RedisResult<MultiplexedConnection> {
        match self {
            Self::Server(client) => dial(client, patience).await,
            Self::Master(sentinels) => Ok(sentinels.dial(patience).await?.1),
        }
    }

    async fn client(&self) -> RedisResult<Client> {
        match self {
            Self::Server(client) => Ok(client.clone()),
            Self::Master(sentinels) => Ok(sentinels.dial(Some(RESPONSE_TIMEOUT)).await?.0),
        }
    }
}

/// Connects to a server; `patience` is how long an answer may take.
pub(crate) async fn dial(client: &Client, patience: Option<Duration>) -> RedisResult<MultiplexedConnection> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT)).set_response_timeout(patience);
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// A line as the Redis client knows connections, so that it reads answers the same way from everywhere.
#[derive(Clone, Copy)]
pub(crate) struct Through<'a>(pub(crate) &'a Line);

impl ConnectionLike for Through<'_> {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.0.send(command))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(self.0.send_all(pipeline, offset, count))
    }

    fn get_db(&self) -> i64 {
        0
    }
}

fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
