//! Random interleavings of everything that can happen to actions, against a plain model, under a clock of the test's own.

mod ends;
mod operate;
mod pair;
mod plain;
mod step;
mod verb;

use std::sync::Arc;

use action::Domain;
use pair::Pair;
use plain::Model;
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use queue::Config;
use queue::engine::Engine;
use step::Step;

const T0: u64 = 1_700_000_000_000;
const LEASE: u64 = 10_000;
const CRASH_DELAY: u64 = 1_000;
const MAX_CRASHES: u32 = 3;
const LANES: [&str; 5] = ["callbacks", "enterprise", "professional", "advance", "free"];

/// How many cases each test tries; more by `NOOBLE_CASES`.
fn cases() -> u32 {
    std::env::var("NOOBLE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1_000)
}

/// Tries random steps, `most` of them at a time, and tells the shortest that go wrong. The invariants are looked at after every
/// `every` steps and at the end: the look is the dearest of all.
fn try_steps(steps: impl Strategy<Value = Step>, most: usize, every: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(testkit::Redis::start());
    let redis = runtime.block_on(broker::Redis::connect(&server.url())).unwrap();
    let engine = Engine::new(redis.clone(), Domain::Execution, 0, Arc::new(Config::default()));
    // While cases shrink, hundreds of panics would be printed; the last one is told below.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    // Whoever broke a script on purpose knows what is wrong.
    let shrinks = if std::env::var_os("NOOBLE_QUEUE_LUA").is_some() { 0 } else { 2_000 };
    let config = Cases { cases: cases(), failure_persistence: None, max_shrink_iters: shrinks, ..Cases::default() };
    let outcome = TestRunner::new(config).run(&prop::collection::vec(steps, 1..most), |steps| {
        runtime.block_on(async {
            redis.query::<()>(&redis::cmd("FLUSHALL")).await.unwrap();
            let mut pair = Pair { model: Model::new(), engine: &engine, redis: &redis };
            for (number, step) in steps.into_iter().enumerate() {
                pair.step(step).await;
                if number % every == 0 {
                    pair.check().await;
                }
            }
            pair.drain().await;
        });
        Ok(())
    });
    std::panic::set_hook(hook);
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[test]
fn whatever_happens_the_scripts_do_what_the_model_does() {
    try_steps(step::any(), 60, 4);
}

#[test]
fn whatever_happens_shortly_after_the_start_the_scripts_do_what_the_model_does() {
    try_steps(step::any(), 20, 1);
}

#[test]
fn whatever_happens_to_one_tenant_under_limits_the_scripts_do_what_the_model_does() {
    try_steps(step::of_one_tenant(), 60, 4);
}
