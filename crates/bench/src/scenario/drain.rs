//! Drain: a worker alone takes what lies there, with a handler that does nothing.

use serde_json::json;

use super::{Case, Size, Who, straight};

pub(super) fn cases(size: Size) -> Vec<Case> {
    let jobs = size.pick(20_000, 60_000);
    let wide = Case {
        label: "drain.c128",
        what: "drain, 128 at once",
        scenario: "drain",
        numbers: json!({ "jobs": jobs, "concurrency": 128 }),
        who: Who::All,
        every_round: true,
        run: straight,
    };
    let middle = Case {
        label: "drain.c32",
        what: "drain, 32 at once",
        numbers: json!({ "jobs": jobs, "concurrency": 32 }),
        who: Who::Main,
        ..wide.clone()
    };
    let narrow = Case {
        label: "drain.c1",
        what: "drain, one at a time",
        numbers: json!({ "jobs": jobs / 12, "concurrency": 1 }),
        who: Who::Main,
        ..wide.clone()
    };
    let recorded = Case {
        label: "drain.recorded",
        what: "drain with a task record each, 128 at once",
        numbers: json!({ "jobs": jobs, "concurrency": 128, "recorded": true }),
        who: Who::Ours,
        ..wide.clone()
    };
    size.pick(vec![wide.clone()], vec![wide, middle, narrow, recorded])
}
