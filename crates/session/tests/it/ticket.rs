use action::TenantId;
use session::{Grant, Tickets};

fn tenant(id: &str) -> TenantId {
    id.parse().expect("a tenant")
}

fn grant(session: Option<&str>) -> Grant {
    let session = session.map(|session| session.parse().expect("a session"));
    Grant { session, identity: "signed.by-somebody".to_owned() }
}

async fn tickets(redis: &testkit::Redis) -> Tickets {
    Tickets::new(broker::Redis::connect(&redis.url()).await.expect("the server is there"))
}

#[tokio::test]
async fn a_ticket_is_redeemed_once_by_whoever_comes_first_on_whatever_node() {
    let redis = testkit::Redis::start().await;
    let (here, there) = (tickets(&redis).await, tickets(&redis).await);
    for granted in [grant(None), grant(Some("web-1"))] {
        let ticket = here.issue(&tenant("acme"), &granted).await.expect("issued");
        let acme = tenant("acme");
        let (one, other) = tokio::join!(here.redeem(&acme, &ticket), there.redeem(&acme, &ticket));
        let redeemed: Vec<Grant> = [one, other].into_iter().filter_map(|found| found.expect("answered")).collect();
        assert_eq!(redeemed, [granted], "one of the two got it");
        assert_eq!(there.redeem(&tenant("acme"), &ticket).await.expect("answered"), None, "used");
    }
}

#[tokio::test]
async fn a_ticket_of_another_tenant_a_forged_and_an_expired_one_are_nothing() {
    let redis = testkit::Redis::start().await;
    let tickets = tickets(&redis).await;
    let ticket = tickets.issue(&tenant("acme"), &grant(None)).await.expect("issued");
    assert_eq!(tickets.redeem(&tenant("other"), &ticket).await.expect("answered"), None);
    for forged in ["", "nbt_", "nbt_*", &format!("{ticket}0"), &ticket[..ticket.len() - 1], &ticket.to_uppercase()] {
        assert_eq!(tickets.redeem(&tenant("acme"), forged).await.expect("answered"), None, "{forged}");
    }
    let key = redis.command(&["KEYS", "*ticket*"]);
    let left: u64 = redis.command(&["TTL", key.trim()]).trim().parse().expect("seconds");
    assert!((25..=30).contains(&left), "{left}");
    redis.command(&["PEXPIRE", key.trim(), "0"]);
    assert_eq!(tickets.redeem(&tenant("acme"), &ticket).await.expect("answered"), None);
}

#[tokio::test]
async fn who_reads_redis_finds_no_ticket() {
    let redis = testkit::Redis::start().await;
    let tickets = tickets(&redis).await;
    let ticket = tickets.issue(&tenant("acme"), &grant(None)).await.expect("issued");
    let key = redis.command(&["KEYS", "*"]);
    assert!(key.starts_with("{ns:acme}:ticket:"), "{key}");
    let all = format!("{key} {}", redis.command(&["GET", key.trim()]));
    assert!(!all.contains(&ticket) && !all.contains(&ticket[4..]), "{all}");
    assert_eq!(ticket.len(), 68);
}
