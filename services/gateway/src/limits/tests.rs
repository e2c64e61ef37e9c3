use std::time::Duration;

use quota::Window;

use super::headers;

fn window(name: &'static str, limit: u64, remaining: u64, reset: u64, length: u64) -> Window {
    let (reset, length) = (Duration::from_secs(reset), Duration::from_secs(length));
    Window { name, limit, remaining, reset, length }
}

#[test]
fn limits_are_written_as_the_draft_and_as_old_clients_know_them() {
    let written = headers(&[
        window("minute", 10, 2, 23, 60),
        window("day", 100, 60, 51_200, 86_400),
        window("tokens-day", 500_000, 499_000, 51_200, 86_400),
        window("tasks", 20, 1, 0, 0),
    ]);
    let text = |name: &str| written.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert_eq!(
        text("ratelimit-policy"),
        "\"minute\";q=10;w=60, \"day\";q=100;w=86400, \"tokens-day\";q=500000;qu=\"tokens\";w=86400, \
         \"tasks\";q=20;qu=\"concurrent-requests\""
    );
    assert_eq!(
        text("ratelimit"),
        "\"minute\";r=2;t=23, \"day\";r=60;t=51200, \"tokens-day\";r=499000;t=51200, \"tasks\";r=1"
    );
    let old = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"].map(text);
    assert_eq!(old, ["10", "2", "23"], "tasks and tokens are no requests");
}

#[test]
fn a_tier_without_limits_has_no_headers() {
    assert!(headers(&[]).is_empty());
}
