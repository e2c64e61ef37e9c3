//! Asking sentinels for the master.

use std::collections::HashMap;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use redis::aio::MultiplexedConnection;
use redis::{Client, ErrorKind, RedisError, RedisResult, Value};

use crate::error::away;
use crate::line::dial;
use crate::url::{Address, Login};

/// Sentinels only look something up; one that takes longer is asked in vain.
const PATIENCE: Duration = Duration::from_secs(1);

/// The sentinels that watch a master.
pub(crate) struct Sentinels {
    pub(crate) all: Vec<Address>,
    pub(crate) master: String,
    pub(crate) login: Login,
}

/// What a sentinel says about the master.
struct Opinion {
    /// Grows with every failover, so the greatest is the latest.
    epoch: u64,
    address: Address,
}

impl Sentinels {
    /// Connects to the server that is the master now.
    pub(crate) async fn dial(&self, patience: Option<Duration>) -> RedisResult<(Client, MultiplexedConnection)> {
        let mut last = None;
        for address in self.candidates().await? {
            let client = self.login.client(&address)?;
            match self.connect(&client, patience).await {
                Ok(connection) => return Ok((client, connection)),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| away("no sentinel knows where the master is")))
    }

    /// Connects, and makes sure that the server takes itself for the master, too: a sentinel may not know yet.
    async fn connect(&self, client: &Client, patience: Option<Duration>) -> RedisResult<MultiplexedConnection> {
        let mut connection = dial(client, patience).await?;
        let question = redis::cmd("ROLE");
        let asking = question.query_async::<Vec<Value>>(&mut connection);
        let silent = |_| away("the master does not say its role");
        let role = tokio::time::timeout(PATIENCE, asking).await.map_err(silent)??;
        match role.first() {
            Some(Value::BulkString(role)) if role == b"master" => Ok(connection),
            _ => Err(away("the server that the sentinels name is not the master")),
        }
    }

    /// Asks all sentinels at once until most of them have answered, and returns what they say, the latest first. The first
    /// answer alone could come from one that slept through a failover.
    async fn candidates(&self) -> RedisResult<Vec<Address>> {
        let mut asked: FuturesUnordered<_> = self.all.iter().map(|sentinel| self.ask(sentinel)).collect();
        let mut opinions: Vec<Opinion> = Vec::new();
        let mut last = None;
        while opinions.len() <= self.all.len() / 2
            && let Some(answer) = asked.next().await
        {
            match answer {
                Ok(opinion) => opinions.push(opinion),
                Err(error) => last = Some(error),
            }
        }
        if let (true, Some(error)) = (opinions.is_empty(), last) {
            return Err(error);
        }
        opinions.sort_by_key(|opinion| std::cmp::Reverse(opinion.epoch));
        let mut addresses: Vec<Address> = opinions.into_iter().map(|opinion| opinion.address).collect();
        addresses.dedup();
        Ok(addresses)
    }

    async fn ask(&self, sentinel: &Address) -> RedisResult<Opinion> {
        let asking = async {
            let (unnamed, has_name) = self.login.without_database().unnamed();
            match self.look_up(&unnamed.client(sentinel)?).await {
                Err(error) if has_name && error.code() == Some("NOAUTH") => {
                    self.look_up(&self.login.without_database().client(sentinel)?).await
                }
                answer => answer,
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(away("a sentinel does not answer")))
    }

    async fn look_up(&self, client: &Client) -> RedisResult<Opinion> {
        let mut connection = dial(client, Some(PATIENCE)).await?;
        let about: HashMap<String, String> =
            redis::cmd("SENTINEL").arg("MASTER").arg(&self.master).query_async(&mut connection).await.map_err(named)?;
        let field = |name: &str| about.get(name).map(String::as_str).unwrap_or_default();
        let port = field("port").parse().map_err(|_| away("a sentinel names no port"))?;
        let epoch = field("config-epoch").parse().unwrap_or_default();
        Ok(Opinion { epoch, address: Address { host: field("ip").to_owned(), port } })
    }
}

/// Sentinels answer with a plain error to a name that they do not know; it may be one that they are told later.
fn named(error: RedisError) -> RedisError {
    if error.detail().is_some_and(|detail| detail.contains("No such master")) {
        return (ErrorKind::MasterNameNotFoundBySentinel, "the sentinels do not know a master of that name").into();
    }
    error
}
