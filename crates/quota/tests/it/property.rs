//! Random lives of a tenant against a plain model.

use std::collections::HashMap;

use action::{TaskId, Tier};
use proptest::prelude::*;
use quota::{Admitted, Charge, Quota, Tiers};

use crate::setup::{NOON, acme, at, chat, left, with};

const MINUTE: u32 = 4;
const DAY: u32 = 9;
const TASKS: u32 = 3;
const TOKENS: u64 = 100;

#[derive(Clone, Debug)]
enum Step {
    Ask {
        tokens: u64,
    },
    /// Ends the task that was admitted as the `of`th, whether it goes on or not.
    Settle {
        of: usize,
        tokens: u64,
    },
    Refund {
        of: usize,
    },
    Wait {
        seconds: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..80_u64).prop_map(|tokens| Step::Ask { tokens }),
        3 => (0..12_usize, 0..120_u64).prop_map(|(of, tokens)| Step::Settle { of, tokens }),
        1 => (0..12_usize).prop_map(|of| Step::Refund { of }),
        2 => (1..100_u64).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// What should be so.
#[derive(Default)]
struct Model {
    minutes: HashMap<u64, u64>,
    day: u64,
    tokens: u64,
    /// Tokens that tasks reserved which go on, and the minute in which they began.
    going: HashMap<TaskId, (u64, u64)>,
}

impl Model {
    fn ask(&mut self, task: TaskId, tokens: u64, minute: u64) -> bool {
        let used = self.minutes.entry(minute).or_default();
        let amount = tokens.min(TOKENS);
        let fits = *used < u64::from(MINUTE)
            && self.day < u64::from(DAY)
            && self.going.len() < TASKS as usize
            && self.tokens + amount <= TOKENS;
        if fits {
            *used += 1;
            self.day += 1;
            self.tokens += amount;
            self.going.insert(task, (amount, minute));
        }
        fits
    }

    fn settle(&mut self, task: TaskId, tokens: u64) -> bool {
        let Some((reserved, _)) = self.going.remove(&task) else { return false };
        self.tokens = (self.tokens + tokens).saturating_sub(reserved);
        true
    }

    fn refund(&mut self, task: TaskId) {
        if let Some((reserved, minute)) = self.going.remove(&task) {
            self.tokens -= reserved.min(self.tokens);
            self.day -= 1;
            *self.minutes.entry(minute).or_default() -= 1;
        }
    }
}

async fn live(redis: &testkit::Redis, steps: Vec<Step>) {
    redis.command(&["FLUSHALL"]);
    let mut tiers = Tiers::default();
    let limits = tiers.of_mut(Tier::Free);
    (limits.per_minute, limits.per_day) = (Some(MINUTE), Some(DAY));
    (limits.concurrent_tasks, limits.tokens_per_day) = (Some(TASKS), Some(TOKENS));
    // Two processes: what one remembers must not be wrong about what the other did.
    let processes = [with(redis, tiers.clone()).await, with(redis, tiers).await];
    let (mut model, mut now) = (Model::default(), NOON * 1000);
    let mut admitted: Vec<(TaskId, Admitted)> = Vec::new();
    let mut refused = false;
    for (number, step) in steps.into_iter().enumerate() {
        let quota: Quota = processes[number % 2].clone().at(at(now));
        match step {
            Step::Ask { tokens } => {
                let task = TaskId::new();
                let answer = quota.admit(Charge { task: Some(task), tokens, ..chat(Tier::Free) }).await;
                assert_eq!(answer.is_ok(), model.ask(task, tokens, now / 60_000), "{number}: {answer:?}");
                refused |= answer.is_err();
                admitted.extend(answer.ok().map(|answer| (task, answer)));
            }
            Step::Settle { of, tokens } => {
                let Some((task, _)) = admitted.get(of) else { continue };
                let first = quota.settle(&acme(), Tier::Free, *task, tokens.into()).await.expect("Redis answers");
                assert_eq!(first, model.settle(*task, tokens), "{number}");
            }
            Step::Refund { of } => {
                // A process that was told of a used up window goes on refusing when another one takes a charge back.
                let going = admitted.get(of).filter(|(task, _)| !refused && model.going.contains_key(task));
                let Some((task, answer)) = going else { continue };
                quota.refund(&answer.receipt).await.expect("Redis answers");
                model.refund(*task);
            }
            Step::Wait { seconds } => now = (now + seconds * 1000).min((NOON + 11 * 3600) * 1000),
        }
    }
    let windows = processes[0].clone().at(at(now)).status(&acme(), Tier::Free).await.expect("Redis answers");
    assert_eq!(left(&windows, "day"), Some(u64::from(DAY) - model.day));
    assert_eq!(left(&windows, "tokens-day"), Some(TOKENS.saturating_sub(model.tokens)));
    assert_eq!(left(&windows, "tasks"), Some(u64::from(TASKS) - model.going.len() as u64));
}

// `PROPTEST_CASES` makes it longer.
#[test]
fn any_life_of_a_tenant_goes_as_the_model_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let redis = runtime.block_on(testkit::Redis::start());
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in proptest::collection::vec(step(), 1..40))| {
        runtime.block_on(live(&redis, steps));
    });
}
