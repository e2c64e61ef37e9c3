//! The handle.

use std::sync::Arc;

use redis::aio::PubSub;
use redis::{Cmd, ErrorKind, FromRedisValue, Pipeline, RedisResult, ServerErrorKind};

use crate::cluster::{Across, Cluster};
use crate::line::{Line, Place, RESPONSE_TIMEOUT, Through};
use crate::sentinel::Sentinels;
use crate::url::Target;
use crate::{Blocking, Error, Script, ServerInfo, UrlProblem, error};

/// A Redis: one server, the master that sentinels watch, or a cluster. Cloning is cheap; all clones share its connections.
#[derive(Clone)]
pub struct Redis {
    home: Home,
}

#[derive(Clone)]
enum Home {
    /// A server at an address of its own.
    Server(Arc<Line>),
    /// Whichever server is the master.
    Master(Arc<Line>),
    Cluster(Arc<Cluster>),
}

impl Redis {
    /// Takes a URL as the crate's documentation lists them, and connects.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let redis = Self::open(url)?;
        redis.ping().await?;
        Ok(redis)
    }

    /// Takes the URL of a Redis that may be away for now; the first command connects.
    pub fn open(url: &str) -> Result<Self, Error> {
        let home = match Target::parse(url).map_err(Error::Url)? {
            Target::Server(client) => Home::Server(Arc::new(Line::new(Place::Server(client)))),
            Target::Sentinels { sentinels, master, login } => {
                Home::Master(Arc::new(Line::new(Place::Master(Sentinels { all: sentinels, master, login }))))
            }
            Target::Cluster { seeds, login } => Home::Cluster(Arc::new(Cluster::new(seeds, &login))),
        };
        Ok(Self { home })
    }

    /// Returns whether it is a cluster, where a script's keys must lie in one slot.
    pub fn is_cluster(&self) -> bool {
        matches!(self.home, Home::Cluster(_))
    }

    /// Runs a command that answers at once.
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        let answer = match &self.home {
            Home::Server(line) | Home::Master(line) => command.query_async(&mut Through(line)).await,
            Home::Cluster(cluster) => command.query_async(&mut Across(cluster)).await,
        };
        self.judge(answer)
    }

    /// Runs several commands in one round trip; in a cluster one per node, all at the same time.
    pub async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, Error> {
        let answer = match &self.home {
            Home::Server(line) | Home::Master(line) => pipeline.query_async(&mut Through(line)).await,
            Home::Cluster(cluster) => pipeline.query_async(&mut Across(cluster)).await,
        };
        self.judge(answer)
    }

    /// Runs a script. A server that does not know it is told its source.
    pub async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[impl AsRef<[u8]>],
    ) -> Result<T, Error> {
        let answer = match &self.home {
            Home::Server(line) | Home::Master(line) => script.run_on(&mut Through(line), keys, arguments).await,
            Home::Cluster(cluster) => script.run_on(&mut Across(cluster), keys, arguments).await,
        };
        match (answer, keys.first()) {
            // In a cluster every server is given the library on its own, so the connection has to lead to the right one.
            (Err(error), Some(key)) if error::is_unknown_function(&error) => {
                // Rare, and large: no call that goes well carries it along.
                let running = Box::pin(async { self.blocking(key).await?.run(script, keys, arguments).await });
                // Such a connection waits as long as it takes, which is not meant here.
                let answer = tokio::time::timeout(RESPONSE_TIMEOUT, running).await;
                answer.unwrap_or_else(|_| Err(error::away("the server does not answer").into()))
            }
            (answer, _) => self.judge(answer),
        }
    }

    /// Opens a connection of its own for commands that wait, to the server that has the key now.
    pub async fn blocking(&self, key: &str) -> Result<Blocking, Error> {
        match &self.home {
            Home::Server(line) | Home::Master(line) => Ok(Blocking::new(line.own().await?, None)),
            Home::Cluster(cluster) => {
                let (connection, view) = cluster.own(key).await?;
                Ok(Blocking::new(connection, Some(view)))
            }
        }
    }

    /// Opens a connection of its own that receives what is published, in a cluster on any node.
    ///
    /// It ends when its server does; the next one may lead elsewhere. Nothing tells of a server that is cut off without a word,
    /// so whoever must not miss anything compares from time to time.
    pub async fn subscriber(&self) -> Result<PubSub, Error> {
        match &self.home {
            Home::Server(line) | Home::Master(line) => Ok(line.subscriber().await?),
            Home::Cluster(cluster) => Ok(cluster.subscriber().await?),
        }
    }

    /// Returns whether the server answers; in a cluster, whether every slot has an owner and every owner answers.
    pub async fn ping(&self) -> Result<(), Error> {
        match &self.home {
            Home::Server(_) | Home::Master(_) => self.query::<String>(&redis::cmd("PING")).await.map(|_| ()),
            Home::Cluster(cluster) => Ok(cluster.ping().await?),
        }
    }

    /// Returns what the server says about itself; in a cluster, what can be said of all its masters.
    pub async fn server(&self) -> Result<ServerInfo, Error> {
        match &self.home {
            Home::Server(line) | Home::Master(line) => Ok(ServerInfo::of(line).await?),
            Home::Cluster(cluster) => Ok(cluster.server().await?),
        }
    }

    /// Passes an answer on. A server that sends commands elsewhere, though the URL says that it is alone, would do so for ever.
    fn judge<T>(&self, answer: RedisResult<T>) -> Result<T, Error> {
        answer.map_err(|error| match (&self.home, error.kind()) {
            (Home::Server(_), ErrorKind::Server(ServerErrorKind::Moved)) => Error::Url(UrlProblem::Clustered),
            _ => error.into(),
        })
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may hold a password, so it is not shown.
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}
