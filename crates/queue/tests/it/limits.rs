//! The scripts under a clock of the test's own: leases, crashes, delays, fairness.

use std::collections::HashMap;
use std::time::Duration;

use action::Tier;
use queue::engine::{Cancelled, Entry, Extended, Lane, Settle, Settled};

use crate::bench::{Bench, KEPT, T0, done, entry, retry};

#[tokio::test]
async fn a_settle_counts_once_and_only_under_the_lease_that_is_held() {
    let bench = Bench::start().await;
    bench.put(T0, entry("a", "acme", "agent-1", Tier::Free)).await;
    let first = bench.claim(T0, 5).await.remove(0);
    assert!(bench.claim(T0, 5).await.is_empty(), "what is leased is not leased again");
    // The lease ends after 10 s; somebody else gets the action under a greater token.
    let second = bench.claim(T0 + 10_000, 5).await.remove(0);
    assert_eq!((second.id.as_str(), second.attempt), ("a", 2));
    assert!(second.token > first.token);
    assert_eq!(bench.settle(T0 + 10_001, done(&first)).await, Settled::Stale);
    assert_eq!(bench.settle(T0 + 10_002, done(&second)).await, Settled::Ok);
    assert_eq!(bench.settle(T0 + 10_003, done(&second)).await, Settled::Gone);
    assert_eq!(bench.settle(T0 + 10_004, done(&first)).await, Settled::Gone);
    let outcomes = bench.engine.sweep(T0 + 20_000, Duration::from_secs(1), 10).await.unwrap();
    assert_eq!(outcomes, [("a".to_owned(), b"Ix\0".to_vec())], "one outcome");
    bench.sound().await;
}

#[tokio::test]
async fn an_extended_lease_lasts_and_a_lost_one_is_not_made_again() {
    let bench = Bench::start().await;
    bench.put(T0, entry("a", "acme", "agent-1", Tier::Free)).await;
    let leased = bench.claim(T0, 1).await.remove(0);
    let held = [("a".to_owned(), leased.token)];
    assert_eq!(bench.engine.extend(T0 + 9_000, &held).await.unwrap(), [Extended::Ok]);
    assert!(bench.claim(T0 + 18_999, 1).await.is_empty());
    assert_eq!(bench.ids(T0 + 19_000, 1).await, ["a"]);
    assert_eq!(bench.engine.extend(T0 + 19_001, &held).await.unwrap(), [Extended::Lost]);
    assert_eq!(bench.engine.cancel(T0 + 19_002, "a", Some("acme"), "why not").await.unwrap(), Cancelled::Flagged);
    assert_eq!(bench.engine.extend(T0 + 19_003, &held).await.unwrap(), [Extended::Lost]);
    bench.sound().await;
}

#[tokio::test]
async fn the_first_crash_goes_back_to_the_head_at_once_and_the_third_is_the_last() {
    let bench = Bench::start().await;
    for id in ["a", "b", "c"] {
        bench.put(T0, entry(id, "acme", "agent-1", Tier::Free)).await;
    }
    assert_eq!(bench.ids(T0, 1).await, ["a"]);
    let crash = T0 + 10_000;
    assert_eq!(bench.ids(crash, 1).await, ["a"], "before those that came later");
    let crash = crash + 10_000;
    assert_eq!(bench.ids(crash, 1).await, ["b"], "the second crash waits a little");
    assert_eq!(bench.ids(crash + 1_000, 1).await, ["a"]);
    let crash = crash + 11_000;
    assert_eq!(bench.ids(crash, 9).await, ["b", "c"], "the third crash was the last");
    let swept = bench.engine.sweep(crash, Duration::from_secs(1), 10).await.unwrap();
    assert!(swept[0].1.starts_with(b"Lpoison\x1f3\x1f"), "{swept:?}");
    assert_eq!(bench.engine.cancel(crash, "a", Some("acme"), "").await.unwrap(), Cancelled::Finished);
    bench.sound().await;
}

#[tokio::test]
async fn a_retry_is_invisible_until_its_time_and_counts_an_attempt() {
    let bench = Bench::start().await;
    bench.put(T0, entry("a", "acme", "agent-1", Tier::Free)).await;
    let leased = bench.claim(T0, 1).await.remove(0);
    assert_eq!(bench.settle(T0 + 10, retry(&leased, 500)).await, Settled::Ok);
    let nothing = bench.engine.claim(T0 + 509, 1).await.unwrap();
    assert_eq!((nothing.leased.len(), nothing.next), (0, T0 + 510), "the next moment is told");
    let again = bench.claim(T0 + 510, 1).await.remove(0);
    assert_eq!(again.attempt, 2);
    assert_eq!(again.deadline, leased.deadline, "the budget counts from the first claim");
    assert_eq!((again.first_claim, leased.first_claim), (T0, T0));
    bench.sound().await;
}

#[tokio::test]
async fn releasing_gives_back_the_attempt_and_the_place() {
    let bench = Bench::start().await;
    bench.put(T0, entry("a", "acme", "agent-1", Tier::Free)).await;
    bench.put(T0, entry("b", "acme", "agent-1", Tier::Free)).await;
    let leased = bench.claim(T0, 1).await.remove(0);
    let release = Settle::Release { id: leased.id.clone(), token: leased.token, events: Vec::new() };
    assert_eq!(bench.settle(T0 + 5, release).await, Settled::Ok);
    let again = bench.claim(T0 + 6, 1).await.remove(0);
    assert_eq!((again.id.as_str(), again.attempt, again.deadline), ("a", 1, leased.deadline));
    bench.sound().await;
}

#[tokio::test]
async fn an_action_whose_time_ran_out_in_a_crash_is_not_done_again() {
    let bench = Bench::start().await;
    let short = Entry { budget: Some(Duration::from_secs(9)), ..entry("a", "acme", "agent-1", Tier::Free) };
    bench.put(T0, short).await;
    assert_eq!(bench.claim(T0, 1).await[0].deadline, T0 + 9_000);
    assert!(bench.claim(T0 + 10_000, 1).await.is_empty());
    let swept = bench.engine.sweep(T0 + 10_000, Duration::from_secs(1), 10).await.unwrap();
    assert!(swept[0].1.starts_with(b"Loverdue\x1f1\x1f"));
    bench.sound().await;
}

#[tokio::test]
async fn what_waited_too_long_ends_at_the_tick_or_the_claim() {
    let bench = Bench::start().await;
    let patience = Some(Duration::from_secs(5));
    for (id, context) in [("a", "agent-1"), ("b", "agent-1"), ("c", "agent-2")] {
        bench.put(T0, Entry { patience, ..entry(id, "acme", context, Tier::Free) }).await;
    }
    bench.put(T0 + 3_000, Entry { patience, ..entry("d", "acme", "agent-2", Tier::Free) }).await;
    bench.engine.tick(T0 + 4_999).await.unwrap();
    assert_eq!(bench.engine.tick(T0 + 4_999).await.unwrap().tiers[3].waiting, 4);
    let ticked = bench.engine.tick(T0 + 5_000).await.unwrap();
    assert_eq!(ticked.tiers[3].waiting, 1);
    assert!(ticked.oldest_outcome > 0);
    assert!(bench.ids(T0 + 8_000, 5).await.is_empty(), "the claim looks as well");
    assert_eq!(bench.engine.sweep(T0 + 8_000, Duration::from_secs(1), 10).await.unwrap().len(), 4);
    bench.sound().await;
}

#[tokio::test]
async fn tokens_grow_when_the_clock_steps_back() {
    let bench = Bench::start().await;
    for id in ["a", "b"] {
        bench.put(T0, entry(id, "acme", "agent-1", Tier::Free)).await;
    }
    let first = bench.claim(T0, 1).await.remove(0);
    let second = bench.claim(T0 - 60_000, 1).await.remove(0);
    assert!(second.token > first.token);
    bench.sound().await;
}

#[tokio::test]
async fn busy_tiers_share_eight_to_four_to_two_to_one_whatever_the_batch() {
    for batch in [1, 3, 15, 64] {
        let bench = Bench::start().await;
        for tier in Tier::ALL {
            let entries: Vec<Entry> =
                (0..200).map(|i| entry(&format!("{tier}-{i}"), "acme", "agent-1", tier)).collect();
            bench.engine.submit(T0, &entries).await.unwrap();
        }
        let mut shares: HashMap<String, u32> = HashMap::new();
        let mut left = 150;
        while left > 0 {
            let ids = bench.ids(T0, batch.min(left)).await;
            assert!(!ids.is_empty(), "work is left");
            for id in ids {
                *shares.entry(id.split('-').next().unwrap().to_owned()).or_default() += 1;
                left -= 1;
            }
        }
        let of = |tier: Tier| shares[tier.as_str()];
        assert_eq!(Tier::ALL.map(of), [80, 40, 20, 10], "batches of {batch}");
        bench.sound().await;
    }
}

#[tokio::test]
async fn a_tier_that_was_idle_gets_its_share_from_now_on_and_not_what_it_missed() {
    let bench = Bench::start().await;
    for i in 0..100 {
        bench.put(T0, entry(&format!("free-{i}"), "acme", "agent-1", Tier::Free)).await;
    }
    assert_eq!(bench.ids(T0, 50).await.len(), 50);
    for i in 0..100 {
        bench.put(T0, entry(&format!("enterprise-{i}"), "acme", "agent-1", Tier::Enterprise)).await;
    }
    let ids = bench.ids(T0, 18).await;
    let free = ids.iter().filter(|id| id.starts_with("free")).count();
    assert_eq!(free, 2, "{ids:?}");
    bench.sound().await;
}

#[tokio::test]
async fn one_noisy_tenant_does_not_keep_the_others_waiting() {
    let bench = Bench::start().await;
    let noisy: Vec<Entry> = (0..200).map(|i| entry(&format!("n{i}"), "noisy", "agent-1", Tier::Free)).collect();
    bench.engine.submit(T0, &noisy).await.unwrap();
    assert_eq!(bench.ids(T0, 20).await.len(), 20);
    for tenant in ["quiet-a", "quiet-b", "quiet-c"] {
        for i in 0..3 {
            bench.put(T0, entry(&format!("{tenant}{i}"), tenant, "agent-1", Tier::Free)).await;
        }
    }
    // Each of the four tenants gets a quarter as long as it has something.
    let ids = bench.ids(T0, 12).await;
    assert_eq!(ids.iter().filter(|id| id.starts_with("quiet")).count(), 9, "{ids:?}");
    assert_eq!(bench.ids(T0, 64).await.len(), 64, "the noisy one gets all that is left");
    bench.sound().await;
}

#[tokio::test]
async fn contexts_of_a_tenant_take_turns_and_each_is_first_come_first_served() {
    let bench = Bench::start().await;
    for (context, letter) in [("agent-1", 'a'), ("agent-2", 'b'), ("agent-3", 'c')] {
        for i in 0..4 {
            bench.put(T0, entry(&format!("{letter}{i}"), "acme", context, Tier::Free)).await;
        }
    }
    let mut ids: Vec<String> = Vec::new();
    for _ in 0..3 {
        ids.extend(bench.ids(T0, 5).await);
        let counts = ["a", "b", "c"].map(|letter| ids.iter().filter(|id| id.starts_with(letter)).count());
        assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
    }
    assert_eq!(ids.len(), 12);
    for letter in ["a", "b", "c"] {
        let of_one: Vec<&String> = ids.iter().filter(|id| id.starts_with(letter)).collect();
        assert!(of_one.is_sorted(), "{of_one:?}");
    }
    bench.sound().await;
}

#[tokio::test]
async fn callbacks_go_first_and_never_take_more_than_half() {
    let bench = Bench::start().await;
    for i in 0..100 {
        bench.put(T0, entry(&format!("work-{i}"), "acme", "agent-1", Tier::Enterprise)).await;
        let callback = Entry {
            lane: Lane::Callbacks,
            middle: "acme".to_owned(),
            root: None,
            outcome: false,
            patience: None,
            budget: None,
            ..entry(&format!("callback-{i}"), "acme", "acme", Tier::Free)
        };
        bench.put(T0, callback).await;
    }
    assert_eq!(bench.ids(T0, 1).await, ["callback-0"]);
    let ids = bench.ids(T0, 63).await;
    let callbacks = ids.iter().filter(|id| id.starts_with("callback")).count();
    assert!((30..=32).contains(&callbacks), "{callbacks}");
    bench.sound().await;
}

#[tokio::test]
async fn callbacks_of_tenants_are_served_by_the_weights_of_their_tiers() {
    let bench = Bench::start().await;
    for i in 0..60 {
        for (tenant, tier) in [("rich", Tier::Enterprise), ("poor", Tier::Free)] {
            let callback = Entry {
                lane: Lane::Callbacks,
                root: None,
                outcome: false,
                ..entry(&format!("{tenant}-{i}"), tenant, tenant, tier)
            };
            bench.put(T0, callback).await;
        }
    }
    let mut rich = 0;
    for _ in 0..54 {
        rich += bench.ids(T0, 1).await.iter().filter(|id| id.starts_with("rich")).count();
    }
    assert!((46..=50).contains(&rich), "eight of nine: {rich} of 54");
    bench.sound().await;
}

#[tokio::test]
async fn a_repetition_is_recognised_after_the_end_where_it_was_asked_for() {
    let bench = Bench::start().await;
    let callback = Entry {
        lane: Lane::Callbacks,
        root: None,
        outcome: false,
        dedup: Some(Duration::from_hours(1)),
        ..entry("cb", "acme", "acme", Tier::Free)
    };
    bench.put(T0, callback.clone()).await;
    let leased = bench.claim(T0, 1).await.remove(0);
    assert_eq!(bench.settle(T0, done(&leased)).await, Settled::Ok);
    assert!(!bench.engine.submit(T0, &[callback]).await.unwrap().remove(0).unwrap().new);
    bench.sound().await;
}

#[tokio::test]
async fn a_finished_record_is_kept_for_its_time() {
    let bench = Bench::start().await;
    bench.put(T0, entry("a", "acme", "agent-1", Tier::Free)).await;
    let leased = bench.claim(T0, 1).await.remove(0);
    assert_eq!(bench.redis.command(&["PTTL", "{nq:execution:0}:t:a"]), "-1");
    bench.settle(T0, done(&leased)).await;
    let left: u64 = bench.redis.command(&["PTTL", "{nq:execution:0}:t:a"]).parse().unwrap();
    assert!(left > KEPT - 60_000 && left <= KEPT);
    bench.sound().await;
}

#[tokio::test]
async fn only_a_token_wakes_and_there_is_never_more_than_one() {
    let bench = Bench::start().await;
    for i in 0..5 {
        bench.put(T0, entry(&i.to_string(), "acme", "agent-1", Tier::Free)).await;
    }
    let tokens = || bench.redis.command(&["LLEN", "{nq:execution:0}:wake"]);
    assert_eq!(tokens(), "1");
    assert_eq!(bench.ids(T0, 3).await.len(), 3);
    assert_eq!(tokens(), "1", "work is left: the next worker is woken");
    assert_eq!(bench.ids(T0, 3).await.len(), 2);
    assert_eq!(tokens(), "0", "nothing is left to wake for");
}

#[tokio::test]
async fn whoever_waits_for_work_is_woken_to_learn_of_what_is_put_off() {
    let bench = Bench::start().await;
    let tokens = || bench.redis.command(&["LLEN", "{nq:execution:0}:wake"]);
    bench.put(T0, entry("a", "acme", "agent-1", Tier::Free)).await;
    let leased = bench.claim(T0, 5).await.remove(0);
    assert_eq!(tokens(), "0");
    // It may be due before the moment until which the others wait.
    assert_eq!(bench.settle(T0, retry(&leased, 50)).await, Settled::Ok);
    assert_eq!(tokens(), "1");
    assert!(bench.claim(T0, 5).await.is_empty());
    assert_eq!(tokens(), "0");
    let delay = Some(Duration::from_millis(50));
    bench.put(T0, Entry { delay, ..entry("b", "acme", "agent-1", Tier::Free) }).await;
    assert_eq!(tokens(), "1");
}
