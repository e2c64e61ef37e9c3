//! The keys and scripts in Redis.

use std::sync::Arc;
use std::time::Duration;

use action::{TaskId, TenantId, Tier};
use broker::Script;
use redis::FromRedisValue;
use uuid::Uuid;

use crate::charge::{Charge, Plan};
use crate::meter::{Batch, Of};
use crate::{Error, Spent, Usage};

/// Field of a charge that is no usage of the tenant's.
const NO_USAGE: &str = "-";

/// Days that usage is kept.
const TENANT_DAYS: u8 = 7;
const TIER_DAYS: u8 = 30;

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

/// What is decided about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Refused,
    Charged,
    /// Its task was admitted before, and is charged nothing.
    Known,
}

/// What the script of admission says.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    /// Milliseconds since 1970.
    pub(crate) now: u64,
    /// The date.
    pub(crate) today: String,
    /// Tasks that go on.
    pub(crate) tasks: u64,
    /// What is used of each window, and the milliseconds until it ends.
    pub(crate) windows: Vec<(u64, u64)>,
}

impl Answer {
    /// Reads `verdict now today tasks` and two numbers for each window, in one line: a text is read several times faster than a
    /// list of as many numbers.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let verdict = match words.next()? {
            "0" => Verdict::Refused,
            "1" => Verdict::Charged,
            "2" => Verdict::Known,
            _ => return None,
        };
        let now = words.next()?.parse().ok()?;
        let today = words.next()?.to_owned();
        let tasks = words.next()?.parse().ok()?;
        let mut windows = Vec::with_capacity(8);
        while let Some(used) = words.next() {
            windows.push((used.parse().ok()?, words.next()?.parse().ok()?));
        }
        Some(Self { verdict, now, today, tasks, windows })
    }
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

    pub(crate) async fn admit(&self, charge: &Charge, plan: &Plan, lease: Duration, now: u64) -> Result<Answer, Error> {
        let of_tier = (!self.redis.is_cluster()).then(|| usage_of_tier(charge.tier));
        self.ask(&charge.tenant, plan, charge.kind.field(), charge.lease.unwrap_or(lease), of_tier, now).await
    }

    /// Charges a visit of somebody to whom the tenant owes nothing.
    pub(crate) async fn visit(&self, tenant: &TenantId, plan: &Plan, now: u64) -> Result<Answer, Error> {
        self.ask(tenant, plan, NO_USAGE, Duration::ZERO, None, now).await
    }

    /// Looks at windows without charging them.
    pub(crate) async fn look(&self, tenant: &TenantId, plan: &Plan, now: u64) -> Result<Answer, Error> {
        self.ask(tenant, plan, "", Duration::ZERO, None, now).await
    }

    async fn ask(
        &self,
        tenant: &TenantId,
        plan: &Plan,
        field: &str,
        lease: Duration,
        of_tier: Option<String>,
        now: u64,
    ) -> Result<Answer, Error> {
        let names = self.names(tenant);
        let mut keys = Texts::with_capacity(5 + plan.windows.len());
        keys.push(|text| names.write_usage(text));
        keys.push(|text| names.write_rates(text, |text| text.push_str(TASKS)));
        keys.push(|text| names.write_rates(text, |text| text.push_str(RESERVED)));
        keys.push(|text| names.write_rates(text, |text| text.push_str(&settled(plan.task))));
        for window in &plan.windows {
            keys.push(|text| names.write_rates(text, |text| window.write_suffix(text)));
        }
        if let Some(of_tier) = of_tier {
            keys.push(|text| text.push_str(&of_tier));
        }
        let mut arguments = Texts::with_capacity(7);
        arguments.push(|text| put(text, "", now));
        arguments.push(|text| text.push_str(field));
        arguments.push(|text| text.push_str(&plan.task.map(|task| task.to_string()).unwrap_or_default()));
        arguments.push(|text| put(text, "", u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)));
        arguments.push(|text| match plan.tasks {
            Some(most) => put(text, "", most.into()),
            None => text.push_str("-1"),
        });
        arguments.push(|text| write_reserved(text, plan));
        arguments.push(|text| write_asked(text, plan));
        let answer: String = self.redis.run(&self.scripts.admit, &keys.pieces(), &arguments.pieces()).await?;
        let answer = Answer::read(&answer).filter(|answer| answer.windows.len() == plan.windows.len());
        answer.ok_or(Error::Malformed("what was answered about the windows is not what was asked"))
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
        let settled = names.rates(&settled(Some(task)));
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

/// Writes what a task reserves in each window of tokens, each behind a colon.
fn write_reserved(text: &mut String, plan: &Plan) {
    for window in plan.windows.iter().filter(|window| window.counts_tokens()) {
        put(text, ":", window.amount);
    }
}

/// Writes what is asked of each window, three numbers behind a blank each: one text is sent and read faster than as many
/// arguments.
fn write_asked(text: &mut String, plan: &Plan) {
    for window in &plan.windows {
        for number in [window.unit.into(), window.limit, window.amount] {
            put(text, " ", number);
        }
    }
}

fn put(text: &mut String, before: &str, number: u64) {
    text.push_str(before);
    text.push_str(itoa::Buffer::new().format(number));
}

/// The mark of a task that was settled.
fn settled(task: Option<TaskId>) -> String {
    task.map_or_else(|| "settled".to_owned(), |task| format!("settled:{task}"))
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
