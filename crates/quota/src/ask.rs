//! What the script of admission is asked, and what it says.

use std::sync::Arc;
use std::time::Duration;

use action::TaskId;
use uuid::Uuid;

use crate::charge::{Charge, Plan, Planned};

/// Field of a charge that is no usage of the tenant's, and of a question that charges nothing.
const NO_USAGE: &str = "-";
const NO_CHARGE: &str = ".";

/// What is decided about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Refused,
    Charged,
    /// Its task was admitted before, and is charged nothing.
    Known,
}

/// A request that the script of admission is asked about.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// Field of the tenant's usage, or [`NO_USAGE`], or [`NO_CHARGE`].
    field: &'static str,
    plan: Arc<Plan>,
    lease: Duration,
}

impl Ask {
    /// Asks for a request to be charged, whose task counts as lost after `lease` unless it says otherwise.
    pub(crate) fn of(charge: &Charge, plan: Arc<Plan>, lease: Duration) -> Self {
        Self { field: charge.kind.field(), plan, lease: charge.lease.unwrap_or(lease) }
    }

    /// Asks for a visit to be charged, which is no usage.
    pub(crate) fn visit(plan: Arc<Plan>) -> Self {
        Self { field: NO_USAGE, plan, lease: Duration::ZERO }
    }

    /// Asks how windows stand.
    pub(crate) fn look(plan: Arc<Plan>) -> Self {
        Self { field: NO_CHARGE, plan, lease: Duration::ZERO }
    }

    /// Returns the task that the request becomes.
    pub(crate) fn task(&self) -> Option<TaskId> {
        self.plan.task
    }

    /// Writes a request as the script reads it; `places` are those of its windows and of the requests behind it.
    pub(crate) fn write<'a>(&self, text: &mut String, places: &mut impl Iterator<Item = &'a u64>) {
        text.push_str(self.field);
        text.push(' ');
        match self.plan.task {
            Some(task) => write_uuid(text, task),
            None => text.push('.'),
        }
        put(text, " ", u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX));
        match self.plan.tasks {
            Some(most) => put(text, " ", most.into()),
            None => text.push_str(" -1"),
        }
        text.push_str(" .");
        for window in self.plan.windows.iter().filter(|window| window.counts_tokens()) {
            put(text, ":", window.amount);
        }
        for (window, place) in self.plan.windows.iter().zip(places) {
            put(text, " ", *place);
            put(text, " ", window.amount);
        }
    }
}

/// What the script of admission says about a request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    /// Milliseconds since 1970.
    pub(crate) now: u64,
    /// The date.
    pub(crate) today: Arc<str>,
    /// Tasks that go on.
    pub(crate) tasks: u64,
    /// What is used of each window, and the milliseconds until it ends.
    pub(crate) windows: Vec<(u64, u64)>,
    /// Whether nothing was decided behind it in the same question, so that it says how the windows stand now.
    pub(crate) is_last: bool,
}

impl Answer {
    /// Reads `now today`, and for each request `verdict tasks` and two numbers for each window, in one text: it is read several
    /// times faster than a list of as many numbers.
    pub(crate) fn read_all(text: &str, asks: &[Ask]) -> Option<Vec<Self>> {
        let mut lines = text.lines();
        let (now, today) = lines.next()?.split_once(' ')?;
        let (now, today) = (now.parse().ok()?, Arc::from(today));
        let one = |(line, ask): (&str, &Ask)| Self::read(line, ask, now, &today);
        let mut answers = lines.zip(asks).map(one).collect::<Option<Vec<_>>>()?;
        answers.last_mut()?.is_last = true;
        (answers.len() == asks.len()).then_some(answers)
    }

    fn read(line: &str, ask: &Ask, now: u64, today: &Arc<str>) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let verdict = match words.next()? {
            "0" => Verdict::Refused,
            "1" => Verdict::Charged,
            "2" => Verdict::Known,
            _ => return None,
        };
        let tasks = words.next()?.parse().ok()?;
        let mut windows = Vec::with_capacity(ask.plan.windows.len());
        while let Some(used) = words.next() {
            windows.push((used.parse().ok()?, words.next()?.parse().ok()?));
        }
        let is_whole = windows.len() == ask.plan.windows.len();
        is_whole.then(|| Self { verdict, now, today: Arc::clone(today), tasks, windows, is_last: false })
    }
}

/// The windows of several requests, each once.
pub(crate) struct Distinct<'a> {
    pub(crate) all: Vec<&'a Planned>,
    /// For each window of each request its place among them, counted from one.
    pub(crate) places: Vec<u64>,
}

impl<'a> Distinct<'a> {
    pub(crate) fn of(asks: &'a [Ask]) -> Self {
        let number = asks.first().map_or(0, |ask| ask.plan.windows.len());
        let (mut all, mut places) = (Vec::with_capacity(number), Vec::with_capacity(number * asks.len()));
        for window in asks.iter().flat_map(|ask| &ask.plan.windows) {
            let known = all.iter().position(|known: &&Planned| known.is_same(window));
            let place = known.unwrap_or_else(|| {
                all.push(window);
                all.len() - 1
            });
            places.push(place as u64 + 1);
        }
        Self { all, places }
    }

    /// Writes the length and the limit of each, with blanks between them: one text is sent and read faster than as many arguments.
    pub(crate) fn write(&self, text: &mut String) {
        for window in &self.all {
            put(text, " ", window.unit.into());
            put(text, " ", window.limit);
        }
    }
}

/// Writes a number.
pub(crate) fn put(text: &mut String, before: &str, number: u64) {
    text.push_str(before);
    text.push_str(itoa::Buffer::new().format(number));
}

/// Writes a task.
pub(crate) fn write_uuid(text: &mut String, task: TaskId) {
    text.push_str(Uuid::from(task).hyphenated().encode_lower(&mut Uuid::encode_buffer()));
}
