//! The queue benchmark from end to end, small and without peers.

use std::process::Command;

#[test]
fn a_quick_run_prints_one_json_object_with_the_figures_of_ours() {
    let output = Command::new(env!("CARGO_BIN_EXE_nooble"))
        .args(["bench", "queue", "--quick", "--peers", "none", "--rounds", "1", "--json", "--force"])
        .args(["--only", "enqueue.single,drain.c128,end_to_end,pickup.1000"])
        .output()
        .expect("the program runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}");
    let report: serde_json::Value = serde_json::from_str(&out).expect("one JSON object and nothing else");
    for path in [
        "/ours/redis_cpu_us/enqueue",
        "/ours/redis_cpu_us/claim_settle",
        "/ours/end_to_end_per_s",
        "/ours/pickup_ms/p50",
    ] {
        let figure = report.pointer(path).and_then(serde_json::Value::as_f64);
        assert!(figure.is_some_and(|figure| figure > 0.0), "{path}: {figure:?} in {out} {err}");
    }
    assert_eq!(
        report.pointer("/results/pickup.1000/ours/never_started/median"),
        Some(&serde_json::json!(0.0)),
        "{out}"
    );
    assert_eq!(report.pointer("/peers/ours/failures"), Some(&serde_json::json!({})), "{out}");
}
