use std::time::Duration;

use tokio::time::Instant;

use super::Bucket;

#[test]
fn a_burst_is_taken_at_once_and_then_so_many_a_second() {
    let begin = Instant::now();
    let mut bucket = Bucket::new(50, 20, begin);
    let mut taken = |after: u64| (0..1000).filter(|_| bucket.take(begin + Duration::from_millis(after))).count();
    assert_eq!(taken(0), 50);
    assert_eq!(taken(10), 0, "less than a token has come back");
    assert_eq!(taken(1010), 20);
    assert_eq!(taken(1000), 0, "a clock that goes back brings nothing");
    assert_eq!(taken(3_600_000), 50, "never more than a burst");
}

#[test]
fn who_keeps_to_the_rate_is_never_refused() {
    let begin = Instant::now();
    let mut bucket = Bucket::new(1, 20, begin);
    assert!((0..200).all(|frame| bucket.take(begin + Duration::from_millis(51) * frame)));
}
