//! How the tenants of each domain are spread over partitions, and how that changes while work goes on.

use std::sync::{Arc, PoisonError, RwLock};

use action::Domain;
use broker::Redis;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::durable::Confirm;
use crate::engine::spread_script;
use crate::part::Part;
use crate::{Config, Error, keys};

/// Most partitions of a domain.
pub(crate) const MOST: u32 = 64;

/// The partitions of all domains, as this process knows them.
#[derive(Debug)]
pub(crate) struct Spreads {
    redis: Redis,
    config: Arc<Config>,
    tracker: TaskTracker,
    abandon: CancellationToken,
    /// What a submit waits for, by domain.
    confirms: Vec<Confirm>,
    all: Vec<RwLock<Arc<Spread>>>,
    /// Counts the changes that this process has followed.
    changes: watch::Sender<u64>,
}

/// The partitions of one domain.
#[derive(Debug)]
pub(crate) struct Spread {
    /// Number of changes so far.
    pub(crate) epoch: u64,
    /// Partitions in force, then those before: what was put there is still worked on and found.
    pub(crate) counts: Vec<u32>,
    /// As many as the greatest of them.
    pub(crate) parts: Vec<Arc<Part>>,
}

impl Spread {
    /// Returns the partition that a tenant's actions go to.
    pub(crate) fn home(&self, tenant: &str) -> &Arc<Part> {
        &self.parts[keys::partition(tenant, self.counts[0]) as usize]
    }

    /// Returns the partitions that may hold something of a tenant, the present one first.
    pub(crate) fn homes(&self, tenant: &str) -> Vec<Arc<Part>> {
        let mut numbers: Vec<u32> = Vec::with_capacity(self.counts.len());
        for &count in &self.counts {
            let number = keys::partition(tenant, count);
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        numbers.into_iter().map(|number| Arc::clone(&self.parts[number as usize])).collect()
    }
}

impl Spreads {
    /// Reads the spread of every domain.
    pub(crate) async fn start(
        redis: Redis,
        config: Arc<Config>,
        tracker: TaskTracker,
        abandon: CancellationToken,
        confirms: Vec<Confirm>,
    ) -> Result<Self, Error> {
        let none = || RwLock::new(Arc::new(Spread { epoch: 0, counts: vec![1], parts: Vec::new() }));
        let all = Domain::ALL.iter().map(|_| none()).collect();
        let spreads = Self { redis, config, tracker, abandon, confirms, all, changes: watch::Sender::new(0) };
        spreads.refresh().await?;
        Ok(spreads)
    }

    pub(crate) fn of(&self, domain: Domain) -> Arc<Spread> {
        Arc::clone(&self.all[domain as usize].read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells of changes.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Follows what was changed by other processes.
    pub(crate) async fn refresh(&self) -> Result<(), Error> {
        let mut pipeline = redis::pipe();
        for domain in Domain::ALL {
            pipeline.cmd("HMGET").arg(keys::spread(domain)).arg(&["epoch", "counts"]);
        }
        let known: Vec<(Option<u64>, Option<String>)> = self.redis.pipeline(&pipeline).await?;
        for (domain, (epoch, counts)) in Domain::ALL.into_iter().zip(known) {
            self.follow(domain, epoch.unwrap_or(0), counts.as_deref().unwrap_or("1"))?;
        }
        Ok(())
    }

    /// Changes the number of partitions of a domain. New ones have the limits of the first one before anything goes there.
    pub(crate) async fn change(&self, domain: Domain, partitions: u32) -> Result<Arc<Spread>, Error> {
        self.refresh().await?;
        let changes = self.of(domain).parts[0].engine.ruled().await?;
        for number in 0..partitions {
            let part = self.start_part(domain, number);
            if !changes.is_empty() {
                part.engine.control(&changes).await?;
            }
        }
        let key = keys::spread(domain);
        let arguments = [partitions.to_string().into_bytes()];
        let (epoch, counts): (u64, String) = self.redis.run(spread_script(), &[&key], &arguments).await?;
        self.follow(domain, epoch, &counts)?;
        Ok(self.of(domain))
    }

    fn follow(&self, domain: Domain, epoch: u64, counts: &str) -> Result<(), Error> {
        let before = self.of(domain);
        if before.epoch == epoch && !before.parts.is_empty() {
            return Ok(());
        }
        let counts: Vec<u32> = counts.split(',').filter_map(|count| count.parse().ok()).collect();
        let Some(&most) = counts.iter().max().filter(|most| (1..=MOST).contains(*most)) else {
            return Err(Error::Data(format!("the partitions of {domain} are not understood")));
        };
        let known = |number: u32| before.parts.get(number as usize).map(Arc::clone);
        let parts = (0..most).map(|number| known(number).unwrap_or_else(|| self.start_part(domain, number))).collect();
        let fresh = Arc::new(Spread { epoch, counts, parts });
        *self.all[domain as usize].write().unwrap_or_else(PoisonError::into_inner) = fresh;
        self.changes.send_modify(|changes| *changes += 1);
        Ok(())
    }

    fn start_part(&self, domain: Domain, number: u32) -> Arc<Part> {
        Arc::new(Part::start(
            &self.redis,
            (domain, number, self.confirms[domain as usize]),
            &self.config,
            &self.tracker,
            &self.abandon,
        ))
    }
}
