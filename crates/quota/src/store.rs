//! The keys and scripts in Redis.

use std::sync::Arc;
use std::time::Duration;

use action::{TaskId, TenantId, Tier};
use broker::Script;
use redis::FromRedisValue;
use uuid::Uuid;

use crate::ask::{Answer, Ask, Distinct, put, write_uuid};
use crate::charge::{Charge, Plan};
use crate::meter::{Batch, Of};
use crate::{Error, Spent, Usage};

/// What is said was not asked.
pub(crate) const NOT_ASKED: Error = Error::Malformed("what was answered about the windows is not what was asked");

/// Days that usage is kept.
const TENANT_DAYS: u8 = 7;
const TIER_DAYS: u8 = 30;

/// Waits for an answer of Redis within the time for it.
pub(crate) async fn in_time<T>(patience: Duration, asking: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(patience, asking).await.unwrap_or(Err(Error::Away))
}

/// Runs the scripts. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    redis: broker::Redis,
    scripts: Arc<Scripts>,
}

#[derive(Debug)]
struct Scripts {
    admit: Script,
    settle: Script,
    refund: Script,
    meter: Script,
    usage: Script,
}

macro_rules! script {
    ($name:literal, $file:literal) => {
        Script::new($name, concat!(include_str!("script/calendar.lua"), include_str!($file)))
    };
}

impl Store {
    pub(crate) fn new(redis: broker::Redis) -> Self {
        let scripts = Scripts {
            admit: script!("quota_admit", "script/admit.lua"),
            settle: script!("quota_settle", "script/settle.lua"),
            refund: script!("quota_refund", "script/refund.lua"),
            meter: script!("quota_meter", "script/meter.lua"),
            usage: script!("quota_usage", "script/usage.lua"),
        };
        Self { redis, scripts: Arc::new(scripts) }
    }

    /// Decides about requests of one tenant, one after the other, and charges those that are admitted.
    pub(crate) async fn admit(
        &self,
        tenant: &TenantId,
        tier: Tier,
        asks: &[Ask],
        now: u64,
    ) -> Result<Vec<Answer>, Error> {
        let of_tier = (!self.redis.is_cluster()).then(|| usage_of_tier(tier));
        self.ask(tenant, asks, of_tier, now).await
    }

    /// Charges a visit of somebody to whom the tenant owes nothing.
    pub(crate) async fn visit(&self, tenant: &TenantId, plan: Arc<Plan>, now: u64) -> Result<Answer, Error> {
        self.ask_one(tenant, Ask::visit(plan), now).await
    }

    /// Looks at windows without charging them.
    pub(crate) async fn look(&self, tenant: &TenantId, plan: Arc<Plan>, now: u64) -> Result<Answer, Error> {
        self.ask_one(tenant, Ask::look(plan), now).await
    }

    async fn ask_one(&self, tenant: &TenantId, ask: Ask, now: u64) -> Result<Answer, Error> {
        let mut answers = self.ask(tenant, &[ask], None, now).await?;
        answers.pop().ok_or(NOT_ASKED)
    }

    async fn ask(
        &self,
        tenant: &TenantId,
        asks: &[Ask],
        of_tier: Option<String>,
        now: u64,
    ) -> Result<Vec<Answer>, Error> {
        let names = self.names(tenant);
        let windows = Distinct::of(asks);
        let mut keys = Texts::with_capacity(4 + windows.all.len() + asks.len());
        keys.push(|text| names.write_usage(text));
        keys.push(|text| names.write_rates(text, |text| text.push_str(TASKS)));
        keys.push(|text| names.write_rates(text, |text| text.push_str(RESERVED)));
        for window in &windows.all {
            keys.push(|text| names.write_rates(text, |text| window.write_suffix(text)));
        }
        for ask in asks {
            keys.push(|text| names.write_rates(text, |text| write_settled(text, ask.task())));
        }
        if let Some(of_tier) = of_tier {
            keys.push(|text| text.push_str(&of_tier));
        }
        let mut arguments = Texts::with_capacity(2 + asks.len());
        arguments.push(|text| put(text, "", now));
        arguments.push(|text| windows.write(text));
        let mut places = windows.places.iter();
        for ask in asks {
            arguments.push(|text| ask.write(text, &mut places));
        }
        let answer: String = self.redis.run(&self.scripts.admit, &keys.pieces(), &arguments.pieces()).await?;
        Answer::read_all(&answer, asks).ok_or(NOT_ASKED)
    }

    /// Counts admitted requests for their tier where the script could not, because the key lies in another slot.
    pub(crate) async fn count_of_tier(&self, tier: Tier, today: &str, number: i64) {
        if !self.redis.is_cluster() {
            return;
        }
        let days = TIER_DAYS.to_string();
        let arguments =
            vec![today.to_owned(), "0".to_owned(), days.clone(), days, "total_requests".to_owned(), number.to_string()];
        let key = format!("{}:{today}", usage_of_tier(tier));
        // The request is admitted and charged, and this is a figure for people: refusing it now would be worse than one too few.
        if let Err(error) = self.run::<String>(&self.scripts.meter, &[key], arguments).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "requests were not counted for their tier");
        }
    }

    /// Settles a task; tells whether it was the first time. A tier that reserves nothing has only its usage counted.
    pub(crate) async fn settle(
        &self,
        tenant: &TenantId,
        task: TaskId,
        spent: Spent,
        plan: &Plan,
        reserves: bool,
        now: u64,
    ) -> Result<bool, Error> {
        let names = self.names(tenant);
        let windows: Vec<_> = plan.windows.iter().filter(|window| window.counts_tokens()).collect();
        let settled = names.rates(&written(|text| write_settled(text, Some(task))));
        let mut keys = vec![names.rates(TASKS), names.rates(RESERVED), names.usage(), settled];
        keys.extend(windows.iter().map(|window| names.rates(&written(|text| window.write_suffix(text)))));
        let flag = |flag: bool| if flag { "1" } else { "0" }.to_owned();
        let mut arguments =
            vec![task.to_string(), spent.tokens.to_string(), flag(!reserves), now.to_string(), flag(spent.broke_off)];
        arguments.extend(windows.iter().map(|window| window.unit.to_string()));
        Ok(self.run::<i64>(&self.scripts.settle, &keys, arguments).await? == 1)
    }

    pub(crate) async fn refund(&self, charge: &Charge, plan: &Plan, at: u64) -> Result<(), Error> {
        let names = self.names(&charge.tenant);
        let mut keys = vec![names.rates(TASKS), names.rates(RESERVED), names.usage()];
        keys.extend(plan.windows.iter().map(|window| names.rates(&written(|text| window.write_suffix(text)))));
        keys.extend((!self.redis.is_cluster()).then(|| usage_of_tier(charge.tier)));
        let mut arguments = vec![
            plan.task.map(|task| task.to_string()).unwrap_or_default(),
            at.to_string(),
            charge.kind.field().to_owned(),
            plan.windows.len().to_string(),
        ];
        for window in &plan.windows {
            arguments.extend([window.unit.to_string(), window.amount.to_string()]);
        }
        self.run::<i64>(&self.scripts.refund, &keys, arguments).await.map(drop)
    }

    /// Returns what a tenant did on a day, or today.
    pub(crate) async fn usage(&self, tenant: &TenantId, date: Option<&str>, now: u64) -> Result<Usage, Error> {
        let when = date.map_or_else(|| now.to_string(), str::to_owned);
        let (date, counts) = self.run(&self.scripts.usage, &[self.names(tenant).usage()], vec![when]).await?;
        Ok(Usage { date, counts })
    }

    /// Counts requests that nobody decided about. A batch of a process is counted once, however often it comes.
    pub(crate) async fn meter(&self, of: &Of, batch: &Batch, process: Uuid, now: u64) -> Result<(), Error> {
        let (tenant, tier) = of;
        let names = self.names(tenant);
        let mut keys = vec![names.usage(), names.rates(&format!("counted:{tier}:{process}"))];
        keys.extend((!self.redis.is_cluster()).then(|| usage_of_tier(*tier)));
        let total: i64 = batch.counts.values().sum();
        let mut arguments =
            vec![now.to_string(), batch.number.to_string(), TENANT_DAYS.to_string(), TIER_DAYS.to_string()];
        let counts = batch.counts.iter().map(|(field, number)| (*field, *number));
        for (field, number) in std::iter::once(("total_requests", total)).chain(counts) {
            arguments.extend([field.to_owned(), number.to_string()]);
        }
        let today: String = self.run(&self.scripts.meter, &keys, arguments).await?;
        self.count_of_tier(*tier, &today, total).await;
        Ok(())
    }

    async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        arguments: Vec<String>,
    ) -> Result<T, Error> {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let arguments: Vec<_> = arguments.into_iter().map(String::into_bytes).collect();
        Ok(self.redis.run(script, &keys, &arguments).await?)
    }

    fn names<'a>(&self, tenant: &'a TenantId) -> Names<'a> {
        Names { tenant, braces: self.redis.is_cluster() }
    }
}

/// Texts one behind the other in one piece of memory: what a request is decided by has twenty of them.
struct Texts {
    all: String,
    ends: Vec<usize>,
}

impl Texts {
    fn with_capacity(number: usize) -> Self {
        Self { all: String::with_capacity(number * 48), ends: Vec::with_capacity(number) }
    }

    fn push(&mut self, write: impl FnOnce(&mut String)) {
        write(&mut self.all);
        self.ends.push(self.all.len());
    }

    fn pieces(&self) -> Vec<&str> {
        let mut begin = 0;
        let piece = |end: &usize| &self.all[std::mem::replace(&mut begin, *end)..*end];
        self.ends.iter().map(piece).collect()
    }
}

/// Writes the mark of a task that was settled.
fn write_settled(text: &mut String, task: Option<TaskId>) {
    text.push_str("settled");
    if let Some(task) = task {
        text.push(':');
        write_uuid(text, task);
    }
}

const TASKS: &str = "tasks";
const RESERVED: &str = "reserved";

/// Names of a tenant's keys. On a cluster the tenant stands in braces, so that all of them lie in one slot.
struct Names<'a> {
    tenant: &'a TenantId,
    braces: bool,
}

impl Names<'_> {
    fn rates(&self, suffix: &str) -> String {
        written(|text| self.write_rates(text, |text| text.push_str(suffix)))
    }

    fn usage(&self) -> String {
        written(|text| self.write_usage(text))
    }

    fn write_rates(&self, text: &mut String, suffix: impl FnOnce(&mut String)) {
        self.write(text, "rate_limit:");
        text.push(':');
        suffix(text);
    }

    fn write_usage(&self, text: &mut String) {
        self.write(text, "usage:");
    }

    fn write(&self, text: &mut String, family: &str) {
        let [open, close] = if self.braces { ["{", "}"] } else { ["", ""] };
        for part in [family, open, self.tenant.as_str(), close] {
            text.push_str(part);
        }
    }
}

fn written(write: impl FnOnce(&mut String)) -> String {
    let mut text = String::new();
    write(&mut text);
    text
}

fn usage_of_tier(tier: Tier) -> String {
    format!("usage:tier:{tier}")
}
