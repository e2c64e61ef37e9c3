//! End to end: a producer and a worker in one process, for a while, with a bounded number of jobs in between.

use anyhow::Result;
use serde_json::json;

use super::{Case, Size, Who, throughput};
use crate::compare::Bench;
use crate::figures::Figures;
use crate::peer::Peer;

pub(super) fn cases(size: Size) -> Vec<Case> {
    let seconds = size.pick(3, 5);
    let plain = Case {
        label: "end_to_end",
        what: "end to end, producer and worker in one process",
        scenario: "end_to_end",
        numbers: json!({ "seconds": seconds, "batch": 100, "concurrency": 128 }),
        who: Who::All,
        every_round: true,
        run,
    };
    let recorded = Case {
        label: "end_to_end.recorded",
        what: "end to end with a task record each",
        numbers: json!({ "seconds": seconds, "batch": 100, "concurrency": 128, "recorded": true }),
        who: Who::Ours,
        ..plain.clone()
    };
    size.pick(vec![plain.clone()], vec![plain, recorded])
}

fn run(bench: &Bench, peer: &'static Peer, case: &Case) -> Result<Figures> {
    // What is still waiting when the time is over is worked off and counted: about a quarter of a second of it.
    let window = u64::from(peer.pace / 4).clamp(400, 5_000);
    let mut process = bench.start(peer, case, &json!({ "window": window }))?;
    let (end, marks) = process.measure(&bench.server)?;
    process.finish()?;
    Ok(throughput(&end, &marks))
}
