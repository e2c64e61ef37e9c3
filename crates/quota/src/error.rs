//! How admission can fail.

use std::time::Duration;

use fault::{Failure, Fault, reason};

use crate::Window;
use crate::charge::{Plan, TASKS};

/// A limit is used up. Nothing was charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Limit that is used up; the one that lasts longest if several are.
    pub window: &'static str,
    /// What it allows.
    pub limit: u64,
    /// Time until it is worth trying again.
    pub retry_after: Duration,
    /// Everything that holds for the request, as it stands.
    pub windows: Vec<Window>,
}

impl Exceeded {
    /// Finds what refused among everything that holds.
    pub(crate) fn among(windows: Vec<Window>, plan: &Plan) -> Error {
        let amount = |window: &Window| {
            let planned = plan.windows.iter().find(|planned| planned.name == window.name);
            planned.map_or(1, |planned| planned.amount.max(1))
        };
        // Waiting for the first of two windows that are used up would only end at the second.
        let used_up =
            windows.iter().filter(|window| window.remaining < amount(window)).max_by_key(|window| window.reset);
        let Some(Window { name, limit, reset, .. }) = used_up.cloned() else {
            return Error::Malformed("refused with every window open");
        };
        let retry_after = if name == TASKS { TRY_AGAIN } else { reset };
        Error::Exceeded(Box::new(Self { window: name, limit, retry_after, windows }))
    }
}

/// When it is worth trying again after too many tasks at a time; nobody knows when one of them ends.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// A request was not admitted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A limit is used up. Nothing was charged.
    #[error("{}", exceeded(.0))]
    Exceeded(Box<Exceeded>),
    /// Redis answered with something that is no decision.
    #[error("the limits cannot be read: {0}")]
    Malformed(&'static str),
    /// Redis is away or refused.
    #[error(transparent)]
    Broker(#[from] broker::Error),
    /// Redis did not answer in time, or has not for a moment.
    #[error("the limits cannot be checked at the moment")]
    Away,
}

impl Error {
    /// Returns the limits as they stood when one of them refused.
    pub fn windows(&self) -> &[Window] {
        match self {
            Self::Exceeded(exceeded) => &exceeded.windows,
            _ => &[],
        }
    }
}

fn exceeded(exceeded: &Exceeded) -> String {
    let Exceeded { window, limit, .. } = exceeded;
    match *window {
        "minute" | "day" => format!("the {limit} requests a {window} are used up"),
        "session" => format!("the {limit} requests an hour of the session are used up"),
        "agent-minute" => format!("the {limit} requests a minute of the agent are used up"),
        "agent-hour" => format!("the {limit} requests an hour of the agent are used up"),
        "agent-day" => format!("the {limit} requests a day of the agent are used up"),
        "address" => format!("the {limit} requests a minute of one address are used up"),
        "visits" => format!("the {limit} visits a minute of one address are used up"),
        "tokens-minute" => format!("too little is left of the {limit} tokens a minute"),
        "tokens-day" => format!("too little is left of the {limit} tokens a day"),
        _ => format!("{limit} tasks of the tenant are going on, as many as its tier allows"),
    }
}

impl Fault for Error {
    fn failure(&self) -> Failure {
        match self {
            Self::Exceeded(limit) => Failure::new(&reason::RATE_LIMIT_EXCEEDED, exceeded(limit))
                .retry_after(limit.retry_after)
                .with("limit", limit.limit.to_string())
                .with("remaining", "0")
                .with("window", limit.window),
            Self::Malformed(_) => Failure::internal(),
            Self::Broker(error) => error.failure(),
            Self::Away => Failure::new(&reason::BROKER_UNAVAILABLE, "the limits cannot be checked at the moment")
                .retry_after(Duration::from_secs(1)),
        }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        fault::status(&error)
    }
}
