//! Enqueue: producers only, with nobody at work.

use serde_json::json;

use super::{Case, Size, Who, straight};

/// Submits that wait for their answer at the same time, in a service under load.
const IN_FLIGHT: u32 = 64;

pub(super) fn cases(size: Size) -> Vec<Case> {
    let jobs = size.pick(20_000, 100_000);
    let single = Case {
        label: "enqueue.single",
        what: "enqueue, one job a call, 64 in flight",
        scenario: "enqueue",
        numbers: json!({ "jobs": jobs, "in_flight": IN_FLIGHT, "batch": 1 }),
        who: Who::All,
        every_round: true,
        run: straight,
    };
    let batch = Case {
        label: "enqueue.batch",
        what: "enqueue, 100 jobs a call, 4 in flight",
        numbers: json!({ "jobs": jobs, "in_flight": 4, "batch": 100 }),
        ..single.clone()
    };
    let recorded = Case {
        label: "enqueue.recorded",
        what: "enqueue with a task record each, 64 in flight",
        numbers: json!({ "jobs": jobs, "in_flight": IN_FLIGHT, "batch": 1, "recorded": true }),
        who: Who::Ours,
        ..single.clone()
    };
    let serial = Case {
        label: "enqueue.serial",
        what: "enqueue, one after the other",
        numbers: json!({ "jobs": jobs / 20, "in_flight": 1, "batch": 1 }),
        who: Who::Main,
        ..single.clone()
    };
    size.pick(vec![single.clone(), batch.clone()], vec![single, batch, recorded, serial])
}
