//! Scale: the same jobs for one tenant, a thousand, a hundred thousand: what a waiting job takes, what a job costs Redis, and
//! what happens while nothing is to be done.

use anyhow::Result;
use serde_json::json;

use super::{Case, Size, Who};
use crate::compare::Bench;
use crate::figures::Figures;
use crate::peer::Peer;

pub(super) fn cases(size: Size) -> Vec<Case> {
    let thousand = Case {
        label: "scale.1000",
        what: "scale: 1,000 tenants",
        scenario: "scale",
        numbers: json!({
            "jobs": size.pick(20_000, 200_000), "tiers": 4, "tenants_per_tier": 250, "concurrency": 128,
            "in_flight": 4, "batch": 100, "seconds": size.pick(1, 5),
        }),
        who: Who::Main,
        every_round: false,
        run,
    };
    let with = |label, what, more: serde_json::Value, who| {
        let mut case = Case { label, what, who, ..thousand.clone() };
        if let (Some(numbers), Some(more)) = (case.numbers.as_object_mut(), more.as_object()) {
            numbers.extend(more.clone());
        }
        case
    };
    let one = json!({ "tiers": 1, "tenants_per_tier": 1 });
    let many = json!({ "tenants_per_tier": 25_000 });
    let chat = json!({ "chat": true, "jobs": size.pick(2_000, 20_000) });
    let chats = with("scale.chat", "scale: 1,000 tenants, the action of a real chat, waiting", chat, Who::Ours);
    let one = with("scale.1", "scale: 1 tenant", one, Who::Ours);
    let many = with("scale.100000", "scale: 100,000 tenants", many, Who::Ours);
    size.pick(vec![thousand.clone(), chats.clone()], vec![one, thousand, many, chats])
}

fn run(bench: &Bench, peer: &'static Peer, case: &Case) -> Result<Figures> {
    let mut process = bench.start(peer, case, &json!({}))?;
    let mut figures = Figures::new();
    let (filled, marks) = process.measure(&bench.server)?;
    #[expect(clippy::cast_precision_loss, reason = "jobs are far fewer than 2^52")]
    let jobs = filled.jobs.max(1) as f64;
    figures.insert("memory_bytes".to_owned(), marks.redis.memory / jobs);
    let enqueued_us = marks.redis.cpu_us / jobs;
    if case.numbers["chat"] != true {
        process.ready()?;
        let (_, marks) = process.measure(&bench.server)?;
        figures.insert("enqueue_redis_cpu_us".to_owned(), enqueued_us);
        figures.insert("claim_settle_redis_cpu_us".to_owned(), marks.redis.cpu_us / jobs);
        figures.insert("redis_cpu_us".to_owned(), enqueued_us + marks.redis.cpu_us / jobs);
        process.ready()?;
        let calls = bench.server.calls()?;
        let (idle, marks) = process.measure(&bench.server)?;
        let seconds = idle.seconds.max(1e-3);
        figures.insert("idle_calls_per_s".to_owned(), (bench.server.calls()? - calls) / seconds);
        // The harness itself asks twice.
        figures.insert("idle_commands_per_s".to_owned(), (marks.redis.commands - 2.0).max(0.0) / seconds);
        figures.insert("idle_redis_cpu_percent".to_owned(), marks.redis.cpu_us / seconds / 1e4);
    }
    process.finish()?;
    Ok(figures)
}
