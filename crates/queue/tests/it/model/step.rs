//! What can happen.

use proptest::prelude::*;
use proptest::sample::Index;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Submit(Fresh),
    SubmitAgain(Index),
    Claim(usize),
    Done(Index),
    Retry(Index, u64),
    Release(Index),
    Extend(Index),
    Cancel(Index),
    Tick,
    Relay,
    Forward(u64),
    Back(u64),
    /// The domain (0), a tier (1 to 4) or a tenant (5 to 7); whether it is paused or goes on.
    Pause(usize, bool),
    /// One of the limits, and its value.
    Limit(usize, u64),
    /// A tier, a tenant, a context; all when out of range.
    Purge(usize, usize, usize),
    Replay(Index),
    Repair,
    Malform(Index),
}

/// A new action. The last context's queues run their actions one at a time.
#[derive(Clone, Debug)]
pub(super) struct Fresh {
    pub(super) tenant: usize,
    pub(super) context: usize,
    /// The last one is the callbacks lane.
    pub(super) tier: usize,
    pub(super) root: bool,
    pub(super) patience: u64,
    pub(super) budget: u64,
    pub(super) delay: Option<u64>,
    pub(super) key: Option<u8>,
}

fn fresh(tenants: usize) -> impl Strategy<Value = Fresh> {
    let place = (0..tenants, 0..3_usize, 0..5_usize, prop::arbitrary::any::<bool>());
    let delay = prop_oneof![4 => Just(None), 1 => (1..20_000_u64).prop_map(Some)];
    let key = prop_oneof![5 => Just(None), 1 => (0..3_u8).prop_map(Some)];
    (place, 1_000..60_000_u64, 5_000..90_000_u64, delay, key).prop_map(
        |((tenant, context, tier, root), patience, budget, delay, key)| Fresh {
            tenant,
            context,
            tier,
            root,
            patience,
            budget,
            delay,
            key,
        },
    )
}

pub(super) fn any() -> impl Strategy<Value = Step> {
    step(3, 2)
}

/// Limits are met more often when all work is of one tenant.
pub(super) fn of_one_tenant() -> impl Strategy<Value = Step> {
    step(1, 6)
}

fn step(tenants: usize, limits: u32) -> impl Strategy<Value = Step> {
    let limit = prop_oneof![2 => Just(0), 3 => 1..5_u64];
    prop_oneof![
        12 => fresh(tenants).prop_map(Step::Submit),
        1 => prop::arbitrary::any::<Index>().prop_map(Step::SubmitAgain),
        9 => (0..6_usize).prop_map(Step::Claim),
        6 => prop::arbitrary::any::<Index>().prop_map(Step::Done),
        3 => (prop::arbitrary::any::<Index>(), 0..20_000_u64).prop_map(|(at, delay)| Step::Retry(at, delay)),
        2 => prop::arbitrary::any::<Index>().prop_map(Step::Release),
        3 => prop::arbitrary::any::<Index>().prop_map(Step::Extend),
        3 => prop::arbitrary::any::<Index>().prop_map(Step::Cancel),
        2 => Just(Step::Tick),
        1 => Just(Step::Relay),
        7 => (1..15_000_u64).prop_map(Step::Forward),
        1 => (1..3_000_u64).prop_map(Step::Back),
        1 => (0..8_usize, prop::arbitrary::any::<bool>()).prop_map(|(what, on)| Step::Pause(what, on)),
        limits => (0..8_usize, limit).prop_map(|(which, value)| Step::Limit(which, value)),
        1 => (0..6_usize, 0..6_usize, 0..6_usize).prop_map(|(tier, tenant, context)| Step::Purge(tier, tenant, context)),
        1 => prop::arbitrary::any::<Index>().prop_map(Step::Replay),
        1 => Just(Step::Repair),
        1 => prop::arbitrary::any::<Index>().prop_map(Step::Malform),
    ]
}
