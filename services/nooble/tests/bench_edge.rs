//! The edge benchmark from end to end, small: every case, and what it promises that does not depend on the machine.

use std::process::Command;

#[test]
fn a_quick_run_prints_one_json_object_and_its_promises_hold() {
    let output = Command::new(env!("CARGO_BIN_EXE_nooble"))
        .args(["bench", "edge", "--quick", "--rounds", "1", "--json", "--force"])
        .output()
        .expect("the program runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}");
    let report: serde_json::Value = serde_json::from_str(&out).expect("one JSON object and nothing else");
    let median = |path: &str| report.pointer(&format!("/results/{path}/median")).and_then(serde_json::Value::as_f64);
    for figure in [
        "chat/hop/cpu_us",
        "chat/gateway/cpu_us",
        "chat/gateway without traces/cpu_us",
        "refused/echo/per_s",
        "refused/gateway/per_s",
        "idle/gateway/memory_bytes",
        "push/gateway/cpu_us",
        "crash/gateway/resume_p99_ms",
    ] {
        assert!(median(figure).is_some_and(|figure| figure > 0.0), "{figure}: {out} {err}");
    }
    for (figure, right) in [
        ("refused/gateway/redis_commands", 0.0),
        ("limiter/4 processes/over", 0.0),
        ("limiter/4 processes/under", 0.0),
        ("limiter/4 processes/day_differs", 0.0),
        ("crash/gateway/resumed", 100.0),
        ("crash/gateway/lost", 0.0),
        ("crash/gateway/twice", 0.0),
    ] {
        assert_eq!(median(figure), Some(right), "{figure}: {out}");
    }
}

#[test]
fn a_case_that_there_is_not_is_named_with_those_that_there_are() {
    let output = Command::new(env!("CARGO_BIN_EXE_nooble"))
        .args(["bench", "edge", "--only", "chats"])
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("no case chats") && said.contains("sockets"), "{said}");
}
