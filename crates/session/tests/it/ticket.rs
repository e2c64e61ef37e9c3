use action::TenantId;
use session::{Grant, Tickets};

fn tenant(id: &str) -> TenantId {
    id.parse().expect("a tenant")
}

fn grant(session: Option<&str>) -> Grant {
    let session = session.map(|session| session.parse().expect("a session"));
    let user = Some("user-1".parse().expect("a user"));
    Grant { session, user, credential: "nbl_key_canary".to_owned() }
}

async fn tickets(redis: &testkit::Redis) -> Tickets {
    Tickets::new(broker::Redis::connect(&redis.url()).await.expect("the server is there"))
}

#[tokio::test]
async fn a_ticket_is_taken_once_by_whoever_comes_first_on_whatever_node() {
    let redis = testkit::Redis::start().await;
    let (here, there) = (tickets(&redis).await, tickets(&redis).await);
    for granted in [grant(None), grant(Some("web-1"))] {
        let ticket = here.issue(&tenant("acme"), &granted).await.expect("issued");
        let acme = tenant("acme");
        for node in [&here, &there, &here] {
            assert_eq!(node.find(&acme, &ticket).await.expect("answered").as_ref(), Some(&granted), "not taken yet");
        }
        let (one, other) = tokio::join!(here.take(&acme, &ticket), there.take(&acme, &ticket));
        let taken = [one, other].map(|taken| taken.expect("answered"));
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 1, "one of the two got it");
        assert_eq!(there.find(&acme, &ticket).await.expect("answered"), None, "used");
        assert!(!there.take(&acme, &ticket).await.expect("answered"), "used");
    }
}

#[tokio::test]
async fn a_ticket_of_another_tenant_a_forged_and_an_expired_one_are_nothing() {
    let redis = testkit::Redis::start().await;
    let tickets = tickets(&redis).await;
    let ticket = tickets.issue(&tenant("acme"), &grant(None)).await.expect("issued");
    assert_eq!(tickets.find(&tenant("other"), &ticket).await.expect("answered"), None);
    assert!(!tickets.take(&tenant("other"), &ticket).await.expect("answered"));
    for forged in ["", "nbt_", "nbt_*", &format!("{ticket}0"), &ticket[..ticket.len() - 1], &ticket.to_uppercase()] {
        assert_eq!(tickets.find(&tenant("acme"), forged).await.expect("answered"), None, "{forged}");
    }
    let key = redis.command(&["KEYS", "*ticket*"]);
    let left: u64 = redis.command(&["TTL", key.trim()]).trim().parse().expect("seconds");
    assert!((25..=30).contains(&left), "{left}");
    redis.command(&["PEXPIRE", key.trim(), "0"]);
    assert_eq!(tickets.find(&tenant("acme"), &ticket).await.expect("answered"), None);
}

#[tokio::test]
async fn who_reads_redis_finds_no_ticket_and_no_credential() {
    let redis = testkit::Redis::start().await;
    let tickets = tickets(&redis).await;
    let ticket = tickets.issue(&tenant("acme"), &grant(None)).await.expect("issued");
    let key = redis.command(&["KEYS", "*"]);
    assert!(key.starts_with("{ns:acme}:ticket:"), "{key}");
    let all = format!("{key} {}", redis.command(&["GET", key.trim()]));
    assert!(!all.contains(&ticket) && !all.contains(&ticket[4..]), "{all}");
    assert!(!all.contains("canary"), "{all}");
    assert_eq!(ticket.len(), 68);
}

#[tokio::test]
async fn what_a_ticket_stands_for_cannot_be_put_in_the_place_of_another_or_be_changed() {
    let redis = testkit::Redis::start().await;
    let tickets = tickets(&redis).await;
    let (acme, other) = (tenant("acme"), tenant("other"));
    let ticket = tickets.issue(&acme, &grant(None)).await.expect("issued");
    let key = redis.command(&["KEYS", "*"]).trim().to_owned();
    redis.command(&["COPY", &key, &key.replace("acme", "other")]);
    assert_eq!(tickets.find(&other, &ticket).await.expect("answered"), None, "moved to another tenant");
    redis.command(&["SETRANGE", &key, "0", "session-1"]);
    assert_eq!(tickets.find(&acme, &ticket).await.expect("answered"), None, "changed");
}
