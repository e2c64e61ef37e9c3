//! Visits to what tenants made public, by people who have proved nothing.

use std::net::SocketAddr;

use gateway::Config;
use reqwest::Method;

use crate::client::{Answer, answer};
use crate::mesh::{Mesh, quick};

fn few(public_visits_per_minute: u32) -> Config {
    Config { public_visits_per_minute, ..quick() }
}

async fn visit(gateway: SocketAddr, path: &str) -> Answer {
    // It wants to know who does its cryptography even where there is none.
    let _ = rustls::crypto::ring::default_provider().install_default();
    answer(reqwest::Client::new().request(Method::GET, format!("http://{gateway}{path}"))).await
}

/// How many of some visits to two gateways in turn get an answer from the place itself.
async fn admitted(gateways: [SocketAddr; 2], path: &str, status: u16, times: usize) -> usize {
    let mut admitted = 0;
    for gateway in gateways.iter().cycle().take(times) {
        let answer = visit(*gateway, path).await;
        assert!([status, 429].contains(&answer.status), "{}", answer.body);
        admitted += usize::from(answer.status == status);
    }
    admitted
}

#[tokio::test]
async fn an_address_has_its_visits_to_a_tenant_once_over_all_gateways() {
    let mesh = Mesh::with(few(8)).await;
    let (elsewhere, _stop) = mesh.beside(few(8)).await;
    let gateways = [mesh.http, elsewhere];
    // What there is not costs as much as what there is, however it is spelled. A minute may begin anew on the way.
    let known = admitted(gateways, "/ent-1/open-agent", 200, 6).await;
    let unknown = admitted(gateways, "/ENT_1/nothing", 404, 14).await;
    assert!((8..=16).contains(&(known + unknown)), "{known} and {unknown}");
    let mut refused = visit(elsewhere, "/ent-1/open-agent").await;
    while refused.status != 429 {
        refused = visit(elsewhere, "/ent-1/open-agent").await;
    }
    refused.problem(429, "RATE_LIMIT_EXCEEDED", None);
    assert_eq!(refused.body["violated-policies"][0], "visits", "{}", refused.body);
    let again: u64 = refused.header("retry-after").parse().unwrap();
    assert!(again <= 60, "{again}");
    assert_eq!(visit(elsewhere, "/pro-1/open-agent").await.status, 200, "another tenant's are counted apart");
}

#[tokio::test]
async fn while_redis_is_away_each_gateway_admits_its_share() {
    let mut mesh = Mesh::with(few(8)).await;
    let (elsewhere, _stop) = mesh.beside(few(8)).await;
    mesh.redis.kill();
    let admitted = admitted([mesh.http, elsewhere], "/nobody-1/nothing", 404, 24).await;
    // Half of eight each; a minute may begin anew on the way.
    assert!((8..=16).contains(&admitted), "{admitted}");
}

#[tokio::test]
async fn a_name_that_no_tenant_can_have_is_not_looked_up() {
    let mesh = Mesh::with(few(1)).await;
    for _ in 0..3 {
        visit(mesh.http, "/x/nothing").await.problem(404, "CONTEXT_NOT_RESOLVED", None);
    }
}
