use clap::Parser as _;
use clap::error::ErrorKind;
use prost::Message as _;
use proto::embedding::v1::GenerateEmbeddings;
use proto::queue::v1::{
    DomainLimits, DomainStats, GetSystemOverviewResponse, Sharing, TenantLimits, TenantLoad, TierDepth, TierLimits,
};
use serde_json::json;

use super::*;

#[derive(clap::Parser, Debug)]
struct Line {
    #[command(flatten)]
    queue: Queue,
}

fn parse(line: &str) -> Result<Command, clap::Error> {
    let words = std::iter::once("queue").chain(line.split_whitespace());
    Line::try_parse_from(words).map(|line| line.queue.command)
}

fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

pub(super) fn stats(domain: &str) -> DomainStats {
    let tier = |tier: action::Tier, waiting: u64| TierDepth {
        tier: tier.to_proto().into(),
        waiting,
        tenants: waiting.min(2),
        oldest: (waiting > 0).then(|| seconds(3)),
        claimed: 100,
        parked: 1,
        paused: tier == action::Tier::Free,
        mean_run: Some(seconds(2)),
    };
    DomainStats {
        domain: domain.to_owned(),
        tiers: action::Tier::ALL.into_iter().zip([1, 0, 0, 12]).map(|(name, waiting)| tier(name, waiting)).collect(),
        in_flight: 4,
        delayed: 5,
        dead: 6,
        callbacks: 7,
        outbox: 8,
        paused: false,
        partitions: 2,
        draining_partitions: 0,
        at: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
    }
}

#[test]
fn every_command_line_of_the_guide_is_understood() {
    for line in [
        "stats",
        "stats execution --json",
        "overview --json",
        "tenants execution --limit 5",
        "top",
        "top query --interval 500ms --once",
        "pause execution",
        "pause execution --tier free",
        "resume execution --tenant acme-1",
        "purge execution --tier free --reason overload --yes",
        "purge execution --tenant acme-1 --context agent-1 --yes",
        "purge execution --all --yes",
        "limits show execution",
        "limits set execution --sharing strict --reserve 10 --quantum 8 --weight free=1 --weight enterprise=8",
        "limits set execution --depth free=1000 --ageing free=30s --tenant acme-1=5 --tenant-in-flight 0",
        "check",
        "check execution --repair",
        "partitions execution 4",
        "submit embedding.generate --tenant acme-1 --tier free --context agent-one --payload-json {} --delay 10s",
        "submit embedding.generate --tenant acme-1 --tier free --context agent-one --payload-base64 CgNvbmU= \
         --at 2030-01-31T12:00:00Z --key k-1 --key-ttl 1h --ordered --ttl 1h --budget 30s --max-attempts 5",
    ] {
        parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn a_command_line_that_contradicts_itself_is_refused() {
    for (line, kind) in [
        ("pause", ErrorKind::MissingRequiredArgument),
        ("pause execution --tier free --tenant acme-1", ErrorKind::ArgumentConflict),
        ("pause execution --tier gold", ErrorKind::ValueValidation),
        ("purge execution --all --tier free --yes", ErrorKind::ArgumentConflict),
        ("purge execution --context agent-1 --yes", ErrorKind::MissingRequiredArgument),
        ("limits set execution --weight 8", ErrorKind::ValueValidation),
        ("limits set execution --weight gold=8", ErrorKind::ValueValidation),
        ("limits set execution --ageing free=30", ErrorKind::ValueValidation),
        ("limits set execution --sharing fair", ErrorKind::ValueValidation),
        ("top --interval 1ms", ErrorKind::ValueValidation),
        ("top cooking", ErrorKind::ValueValidation),
        ("partitions execution", ErrorKind::MissingRequiredArgument),
        (
            "submit embedding.generate --tenant acme-1 --tier free --context agent-one",
            ErrorKind::MissingRequiredArgument,
        ),
        (
            "submit embedding.generate --tenant acme-1 --tier free --context agent-one --payload-json {} \
             --payload-base64 CgNvbmU=",
            ErrorKind::ArgumentConflict,
        ),
        (
            "submit embedding.generate --tenant acme-1 --tier free --context agent-one --payload-json {} --delay 1s \
             --at 2030-01-31T12:00:00Z",
            ErrorKind::ArgumentConflict,
        ),
        (
            "submit embedding.generate --tenant acme-1 --tier free --context agent-one --payload-json {} \
             --max-attempts 101",
            ErrorKind::ValueValidation,
        ),
    ] {
        assert_eq!(parse(line).unwrap_err().kind(), kind, "{line}");
    }
}

#[tokio::test]
async fn a_purge_that_is_not_confirmed_asks_nobody() {
    let purge = parse("purge execution --all --key-file /nowhere").unwrap();
    let refused = Queue { command: purge }.run().await.unwrap_err();
    assert!(refused.to_string().contains("--yes"), "{refused}");
}

#[tokio::test]
async fn a_change_of_limits_that_changes_nothing_asks_nobody() {
    let set = parse("limits set execution --key-file /nowhere").unwrap();
    let refused = Queue { command: set }.run().await.unwrap_err();
    assert!(refused.to_string().contains("nothing is to change"), "{refused}");
}

#[test]
fn what_is_said_about_one_tier_is_one_entry_of_the_change() {
    let line = "limits set execution --weight free=2 --depth free=0 --ageing free=90s --weight enterprise=9 \
                --sharing weighted --tenant acme-1=0";
    let Command::Limits(limits::Limits::Set(set)) = parse(line).unwrap() else { panic!("it is a change") };
    let request = set.request();
    let limits = request.limits.unwrap();
    let tier = |tier: action::Tier| i32::from(tier.to_proto());
    assert_eq!(limits.sharing(), Sharing::Weighted);
    assert_eq!((limits.quantum, limits.queue_depth), (None, None));
    let (enterprise, free) = (tier(action::Tier::Enterprise), tier(action::Tier::Free));
    assert_eq!(
        limits.tiers,
        [
            TierLimits { tier: enterprise, weight: Some(9), ..TierLimits::default() },
            TierLimits { tier: free, weight: Some(2), depth: Some(0), ageing: Some(seconds(90)) },
        ]
    );
    assert_eq!(request.tenants, [TenantLimits { tenant_id: "acme-1".to_owned(), in_flight: 0 }]);
}

#[test]
fn a_submitted_action_carries_the_catalogues_payload_and_its_context() {
    let line = "submit embedding.generate.sync --tenant acme-1 --tier free --context agent-one \
                --payload-json {\"texts\":[\"one\"]} --delay 10s --max-attempts 3 --ordered";
    let Command::Submit(submit) = parse(line).unwrap() else { panic!("it is a submit") };
    let request = submit.request().unwrap();
    assert_eq!((request.delay, request.at, request.ordered), (Some(seconds(10)), None, true));
    assert_eq!(request.retry.unwrap().max_attempts, 3);
    let action = request.action.unwrap();
    let context = action.context.unwrap();
    assert_eq!((context.context_id.as_str(), context.primary_agent_id.as_str()), ("agent-one", "one"));
    let payload = action.payload.unwrap();
    assert!(payload.type_url.ends_with("nooble.embedding.v1.GenerateEmbeddings"), "{}", payload.type_url);
    assert_eq!(GenerateEmbeddings::decode(payload.value.as_slice()).unwrap().texts, ["one"]);
}

#[test]
fn an_agent_is_the_one_of_its_context() {
    let line = |agent: &str| {
        format!("submit embedding.generate --tenant acme-1 --tier free --context agent-one --payload-json {{}} {agent}")
    };
    let primary = |agent: &str| {
        let Command::Submit(submit) = parse(&line(agent)).unwrap() else { panic!("it is a submit") };
        Ok::<_, anyhow::Error>(submit.request()?.action.unwrap().context.unwrap().primary_agent_id)
    };
    assert_eq!(primary("").unwrap(), "one");
    assert_eq!(primary("--agent agent-one").unwrap(), "agent-one");
    assert!(primary("--agent two").is_err());
}

#[test]
fn statistics_are_one_line_a_domain_and_one_a_tier() {
    let mut out = Vec::new();
    show::domains(&mut out, &[stats("execution")]).unwrap();
    show::tiers(&mut out, &stats("execution")).unwrap();
    let text = String::from_utf8(out).unwrap();
    let expected = "\
domain          waiting ent/pro/adv/free   oldest  leased  delayed  callbacks   dead  state
execution                       1/0/0/12     3.0s       4        5          7      6  free paused, 2 partitions

tier            waiting   oldest   claimed  tenants  parked  mean run  state
enterprise            1     3.0s       100        1       1      2.0s
professional          0        -       100        0       1      2.0s
advance               0        -       100        0       1      2.0s
free                 12     3.0s       100        2       1      2.0s  paused
";
    assert_eq!(text, expected);
}

#[test]
fn statistics_in_json_keep_their_names() {
    let tier = |waiting: u64, tenants: u64, oldest: Option<f64>, paused: bool| {
        json!({
            "waiting": waiting, "tenants": tenants, "oldest_seconds": oldest, "claimed": 100, "parked": 1,
            "paused": paused, "mean_run_seconds": 2.0,
        })
    };
    let expected = json!({
        "domain": "execution",
        "tiers": {
            "enterprise": tier(1, 1, Some(3.0), false), "professional": tier(0, 0, None, false),
            "advance": tier(0, 0, None, false), "free": tier(12, 2, Some(3.0), true),
        },
        "in_flight": 4, "delayed": 5, "callbacks": 7, "outbox": 8, "dead": 6, "paused": false, "partitions": 2,
        "draining_partitions": 0, "at": "2023-11-14T22:13:20Z",
    });
    assert_eq!(show::stats_json(&stats("execution")), expected);
    let overview =
        GetSystemOverviewResponse { domains: vec![stats("execution")], waiting: 13, in_flight: 4, delayed: 5, dead: 6 };
    let expected = json!({ "domains": [expected], "waiting": 13, "in_flight": 4, "delayed": 5, "dead": 6 });
    assert_eq!(show::overview_json(&overview), expected);
    let tenants = [TenantLoad { tenant_id: "acme-1".to_owned(), waiting: 3, in_flight: 1 }];
    assert_eq!(show::tenants_json(&tenants), json!([{ "tenant_id": "acme-1", "waiting": 3, "in_flight": 1 }]));
}

#[test]
fn limits_say_what_is_not_limited() {
    let limits = DomainLimits {
        sharing: Sharing::Strict.into(),
        reserve_percent: Some(10),
        quantum: Some(8),
        tenant_in_flight: Some(0),
        queue_depth: Some(1_000),
        tenant_depth: None,
        tiers: vec![TierLimits { tier: 4, weight: Some(8), depth: Some(0), ageing: Some(seconds(0)) }],
    };
    let mut out = Vec::new();
    limits::lines(&mut out, &limits, &[TenantLimits { tenant_id: "acme-1".to_owned(), in_flight: 5 }]).unwrap();
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let expected: [&[&str]; 11] = [
        &["sharing", "strict"],
        &["reserve", "10", "%"],
        &["quantum", "8"],
        &["tenant", "in", "flight", "no", "limit"],
        &["queue", "depth", "1000"],
        &["tenant", "depth", "-"],
        &[],
        &["tier", "weight", "depth", "ageing"],
        &["enterprise", "8", "no", "limit", "-"],
        &[],
        &["tenant", "in", "flight"],
    ];
    assert_eq!(lines[..11], expected);
    assert_eq!(lines[11], ["acme-1", "5"]);
}

#[test]
fn a_check_fails_with_what_is_left_and_not_with_what_was_repaired() {
    use proto::queue::v1::{CheckQueuesResponse, Violation};
    let found = |text: &str| Violation { domain: "execution".to_owned(), text: text.to_owned() };
    let answer = |violations: &[&str], remaining: &[&str]| CheckQueuesResponse {
        violations: violations.iter().map(|text| found(text)).collect(),
        remaining: remaining.iter().map(|text| found(text)).collect(),
    };
    control::checked(&answer(&[], &[]), false, false).unwrap();
    control::checked(&answer(&["one"], &[]), true, true).unwrap();
    control::checked(&answer(&["one"], &[]), false, false).unwrap_err();
    control::checked(&answer(&["one", "two"], &["two"]), true, false).unwrap_err();
}
