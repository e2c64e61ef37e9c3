//! Deciding, settling, taking back.

mod visit;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use action::{TaskId, TenantId, Tier};
use telemetry::metric::limit;

use crate::ask::{Ask, Verdict};
use crate::charge::{Charge, Plan, Scope};
use crate::clock::Clock;
use crate::local::{Breaker, Local};
use crate::meter::{Meter, Turn};
use crate::refusals::Refusals;
use crate::store::{self, Store};
use crate::together::Together;
use crate::window::windows;
use crate::{Degraded, Error, Exceeded, Tiers, Window};

/// How decisions are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Time for Redis to answer.
    pub timeout: Duration,
    /// Time without questions after Redis did not answer.
    pub pause: Duration,
    /// Share of a tenant's requests that one process admits on its own while Redis is away.
    pub degraded_percent: u32,
    /// Time after which a task that was never settled counts as lost.
    pub lease: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(1),
            pause: Duration::from_secs(1),
            degraded_percent: 50,
            lease: Duration::from_mins(30),
        }
    }
}

/// A request was admitted and charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Everything that holds for it, after the charge; empty for a tier without limits.
    pub windows: Vec<Window>,
    /// What it takes to take the charge back.
    pub receipt: Receipt,
}

/// What was charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    charge: Charge,
    plan: Arc<Plan>,
    charged: Charged,
}

/// Where a charge was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Charged {
    /// In Redis, at this moment of its clock.
    At(u64),
    /// In what this process writes later.
    Metered,
    /// Not where it could be taken back: by this process alone while Redis was away, or before, for a task that goes on.
    Elsewhere,
}

/// What a task took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Tokens that are known of.
    pub tokens: u64,
    /// Whether it broke off after it had begun, so that it may have taken more: the estimate stands at least.
    pub broke_off: bool,
}

impl From<u64> for Spent {
    fn from(tokens: u64) -> Self {
        Self { tokens, broke_off: false }
    }
}

/// What a tenant did on a day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// `YYYY-MM-DD`, in UTC.
    pub date: String,
    /// Numbers by what they count, e.g. `total_requests`, `total_tokens`.
    pub counts: HashMap<String, u64>,
}

/// Decides about requests. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Quota {
    store: Store,
    tiers: Arc<Tiers>,
    config: Config,
    clock: Clock,
    mind: Arc<Mind>,
}

/// What a process remembers.
#[derive(Debug, Default)]
struct Mind {
    refusals: Refusals,
    breaker: Breaker,
    local: Local,
    visitors: Local,
    meter: Meter,
    together: Together,
}

impl Quota {
    /// Takes the server that counts and the limits that hold.
    pub fn new(redis: broker::Redis, tiers: Arc<Tiers>, config: Config) -> Self {
        let mind = Arc::default();
        Self { store: Store::new(redis), tiers, config, clock: Clock::running(), mind }
    }

    /// Decides as if it were `now`, instead of by Redis' clock.
    #[must_use]
    pub fn at(mut self, now: SystemTime) -> Self {
        self.clock = Clock::standing(now);
        self
    }

    /// Returns the limits that hold.
    pub fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    /// Admits a request and charges it, or refuses it and charges nothing.
    ///
    /// While a window is known to be used up, and for tiers without limits, no command is sent to Redis; but Redis is asked about
    /// what may be a repetition.
    pub async fn admit(&self, charge: Charge) -> Result<Admitted, Error> {
        let tier = charge.tier.as_str();
        let plan = Arc::new(Plan::of(&charge, &self.tiers));
        // One that may have been admitted before is known to Redis alone.
        if !charge.repeats
            && let Some(refusal) = self.mind.refusals.find(&charge.tenant, &plan, self.clock.ms())
        {
            limit::decided(tier, "refused_local");
            return Err(refusal);
        }
        if plan.is_unlimited() && plan.task.is_none() {
            limit::decided(tier, "unlimited");
            let is_much = self.mind.meter.count(&charge.tenant, charge.tier, charge.kind.field());
            // Where somebody writes already, nobody has to wait for it.
            if let Some(turn) = is_much.then(|| self.mind.meter.turn_now()).flatten() {
                Box::pin(self.write(turn)).await;
            }
            return Ok(Admitted { windows: Vec::new(), receipt: Receipt { charge, plan, charged: Charged::Metered } });
        }
        let decided = self.decide(charge, plan).await;
        limit::decided(tier, outcome(&decided));
        if let Ok(admitted) = &decided {
            let near = admitted.windows.iter().filter(|window| window.is_nearly_used_up());
            near.for_each(|window| limit::near(tier, window.name));
        }
        decided
    }

    /// Returns the limits of a tenant as they stand, and charges nothing.
    pub async fn status(&self, tenant: &TenantId, tier: Tier) -> Result<Vec<Window>, Error> {
        let plan = Arc::new(Plan::to_look(self.tiers.of(tier)));
        if plan.is_unlimited() {
            return Ok(Vec::new());
        }
        let now = self.clock.ms();
        let looking = || self.store.look(tenant, Arc::clone(&plan), self.clock.for_scripts());
        let answer = self.in_time(looking).await?;
        let windows = windows(&plan, answer.tasks, &answer.windows);
        self.mind.refusals.see(tenant, tier, &windows, now);
        Ok(windows)
    }

    /// Returns how the limits stand that an agent has of its own, and charges nothing.
    pub async fn agent_status(&self, charge: &Charge) -> Result<Vec<Window>, Error> {
        let plan = Arc::new(Plan::of_agent(charge));
        if plan.is_unlimited() {
            return Ok(Vec::new());
        }
        let looking = || self.store.look(&charge.tenant, Arc::clone(&plan), self.clock.for_scripts());
        let answer = self.in_time(looking).await?;
        Ok(windows(&plan, answer.tasks, &answer.windows))
    }

    /// Returns what a tenant did on a day, `YYYY-MM-DD` in UTC, or today.
    pub async fn usage(&self, tenant: &TenantId, date: Option<&str>) -> Result<Usage, Error> {
        self.in_time(|| self.store.usage(tenant, date, self.clock.for_scripts())).await
    }

    /// Refuses a tenant whose limits are used up, and charges nothing: to be asked before much is taken in.
    pub async fn look(&self, tenant: &TenantId, tier: Tier) -> Result<(), Error> {
        let windows = self.status(tenant, tier).await?;
        if windows.iter().all(|window| window.remaining > 0) {
            return Ok(());
        }
        Err(Exceeded::among(windows, &Plan::to_look(self.tiers.of(tier))))
    }

    /// Like [`Quota::status`], as it was within the last second at the latest, and without asking where it is known.
    pub async fn glance(&self, tenant: &TenantId, tier: Tier) -> Result<Vec<Window>, Error> {
        match self.mind.refusals.seen(tenant, tier, self.clock.ms()) {
            Some(windows) => Ok(windows),
            None => self.status(tenant, tier).await,
        }
    }

    /// Ends a task: it is not counted among those that go on, and the tenant is charged the tokens that it really took instead
    /// of the estimate. Settling again changes nothing. Tells whether it was the first time.
    pub async fn settle(&self, tenant: &TenantId, tier: Tier, task: TaskId, spent: Spent) -> Result<bool, Error> {
        let plan = Plan::to_look(self.tiers.of(tier));
        let reserves = self.tiers.of(tier).reserves();
        self.store.settle(tenant, task, spent, &plan, reserves, self.clock.for_scripts()).await
    }

    /// Takes a charge back: what was admitted was refused by somebody else after all.
    pub async fn refund(&self, receipt: &Receipt) -> Result<(), Error> {
        let Receipt { charge, plan, charged } = receipt;
        self.mind.refusals.forget(charge, plan);
        match charged {
            Charged::At(at) => self.store.refund(charge, plan, *at).await,
            Charged::Metered => {
                self.mind.meter.take_back(&charge.tenant, charge.tier, charge.kind.field());
                Ok(())
            }
            Charged::Elsewhere => Ok(()),
        }
    }

    /// Writes the usage of tiers without limits. Called every now and then, and at the end. Whoever gives up waiting for it
    /// loses nothing: what is not known to be written goes out again, and is counted once.
    pub async fn flush(&self) {
        self.write(self.mind.meter.turn().await).await;
    }

    async fn write(&self, _turn: Turn<'_>) {
        let meter = &self.mind.meter;
        for of in meter.due() {
            let Some(batch) = meter.next(&of) else { continue };
            let asking = || self.store.meter(&of, &batch, meter.process, self.clock.for_scripts());
            match self.in_time(asking).await {
                Ok(()) => meter.written(&of),
                Err(error) => tracing::debug!(%error, "usage is written later"),
            }
        }
    }

    async fn decide(&self, charge: Charge, plan: Arc<Plan>) -> Result<Admitted, Error> {
        let asked = self.clock.ms();
        let asking = || {
            let ask = Ask::of(&charge, Arc::clone(&plan), self.config.lease);
            let of = (charge.tenant.clone(), charge.tier, self.clock.for_scripts());
            self.mind.together.admit(&self.store, of, ask, self.config.timeout)
        };
        let answer = match self.if_there(asking).await {
            Ok(answer) => answer,
            Err(error @ Error::Malformed(_)) => return Err(error),
            Err(error) => return self.do_without(charge, plan, error),
        };
        let windows = windows(&plan, answer.tasks, &answer.windows);
        if answer.verdict == Verdict::Refused {
            return Err(self.refuse(&charge.tenant, &plan, windows, asked));
        }
        if charge.task.is_some() && answer.is_last {
            self.mind.refusals.see(&charge.tenant, charge.tier, &windows, asked);
        }
        if answer.verdict == Verdict::Known {
            // Taking it back would end the task that is going on.
            return Ok(Admitted { windows, receipt: Receipt { charge, plan, charged: Charged::Elsewhere } });
        }
        self.store.count_of_tier(charge.tier, &answer.today, 1).await;
        Ok(Admitted { windows, receipt: Receipt { charge, plan, charged: Charged::At(answer.now) } })
    }

    /// Says what refused, and remembers it.
    fn refuse(&self, tenant: &TenantId, plan: &Plan, windows: Vec<Window>, asked: u64) -> Error {
        let refused = Exceeded::among(windows, plan);
        if let Error::Exceeded(exceeded) = &refused {
            self.mind.refusals.note(tenant, plan, exceeded, asked);
        }
        refused
    }

    /// Decides while Redis is away, as the tier's policy says.
    fn do_without(&self, charge: Charge, plan: Arc<Plan>, error: Error) -> Result<Admitted, Error> {
        // Nobody proved anything: only the count of the address holds them back.
        if charge.address.is_some() {
            return Err(error);
        }
        let windows = match self.tiers.of(charge.tier).degraded {
            Degraded::Deny => return Err(error),
            Degraded::Allow => Vec::new(),
            Degraded::Local => {
                let of = (&charge.tenant, &Scope::Tenant);
                self.mind.local.admit(of, &plan, self.config.degraded_percent, self.clock.ms())?
            }
        };
        Ok(Admitted { windows, receipt: Receipt { charge, plan, charged: Charged::Elsewhere } })
    }

    /// Asks Redis within the time for it, and not at all for a while after it did not answer.
    async fn in_time<T, F>(&self, ask: impl FnOnce() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.if_there(|| store::in_time(self.config.timeout, ask())).await
    }

    /// Asks Redis, but not for a while after it did not answer.
    ///
    /// It takes what makes the question: a future that is handed over is copied, and takes its room twice.
    async fn if_there<T, F>(&self, ask: impl FnOnce() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        if !self.mind.breaker.allows(self.clock.ms(), self.config.pause) {
            return Err(Error::Away);
        }
        let answer = ask().await;
        let answered = !matches!(&answer, Err(Error::Away | Error::Broker(_)));
        if self.mind.breaker.note(answered, self.clock.ms(), self.config.pause) {
            limit::degraded(!answered);
            if answered {
                tracing::info!("limits are decided by Redis again");
            } else {
                tracing::warn!("Redis does not decide about limits; this process does for the time being");
            }
        }
        answer
    }
}

fn outcome(decided: &Result<Admitted, Error>) -> &'static str {
    match decided {
        Ok(Admitted { receipt: Receipt { charged: Charged::At(_), .. }, .. }) => "admitted",
        Ok(_) => "admitted_degraded",
        Err(Error::Exceeded(exceeded)) => match exceeded.window {
            "minute" => "refused_minute",
            "day" => "refused_day",
            "session" => "refused_session",
            "address" => "refused_address",
            "agent-minute" | "agent-hour" | "agent-day" => "refused_agent",
            "tokens-minute" | "tokens-day" => "refused_tokens",
            _ => "refused_tasks",
        },
        Err(Error::Malformed(_) | Error::Broker(_) | Error::Away) => "unavailable",
    }
}
