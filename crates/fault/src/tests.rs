use std::collections::HashSet;
use std::time::Duration;

use crate::{Code, Failure, Problem, reason, status};

#[test]
fn every_reason_has_its_own_id_and_slug() {
    let ids: HashSet<_> = reason::ALL.iter().map(|reason| reason.id).collect();
    let slugs: HashSet<_> = reason::ALL.iter().map(|reason| reason.slug).collect();
    assert_eq!(ids.len(), reason::ALL.len());
    assert_eq!(slugs.len(), reason::ALL.len());
}

#[test]
fn http_classes_agree_with_the_kind_of_failure() {
    for reason in reason::ALL {
        let servers_fault = matches!(reason.code, Code::Internal | Code::Unavailable | Code::DeadlineExceeded);
        if servers_fault {
            assert!(reason.http >= 500, "{} is ours and answers {}", reason.id, reason.http);
        }
        if matches!(
            reason.code,
            Code::InvalidArgument | Code::NotFound | Code::PermissionDenied | Code::Unauthenticated
        ) {
            assert!((400..500).contains(&reason.http), "{} is the caller's and answers {}", reason.id, reason.http);
        }
    }
}

#[test]
fn a_failure_survives_the_way_through_a_status() {
    let sent = Failure::new(&reason::RATE_LIMIT_EXCEEDED, "10 requests a minute are used up")
        .field("tenant")
        .retry_after(Duration::from_millis(23_500))
        .with("limit", "10")
        .with("remaining", "0");
    let status = status(&sent);
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    assert_eq!(Failure::from_status(&status), sent);
}

#[test]
fn the_text_of_a_foreign_status_is_not_passed_on() {
    let foreign = tonic::Status::unavailable("tcp connect error: 10.0.0.7:50051");
    let failure = Failure::from_status(&foreign);
    assert_eq!(failure.reason().id, "UNAVAILABLE");
    assert!(!failure.detail().contains("10.0.0.7"));
}

#[test]
fn a_problem_rounds_the_retry_hint_up() {
    let failure = Failure::new(&reason::RATE_LIMIT_EXCEEDED, "used up").retry_after(Duration::from_millis(1_001));
    let problem = serde_json::to_value(Problem::of(&failure)).expect("a problem is plain JSON");
    assert_eq!(problem["retry_after"], 2);
    assert_eq!(problem["type"], "/errors/rate-limit-exceeded");
    assert_eq!(problem["status"], 429);
}
