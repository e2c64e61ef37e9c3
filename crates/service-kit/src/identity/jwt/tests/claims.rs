use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use action::Tier;
use fault::{Fault as _, reason};
use serde_json::json;

use super::super::error::Error;
use super::super::{Grant, is_token, mint};
use super::{config, good, in_seconds, minutes, says, signed, tokens};
use crate::identity::{Scope, Scopes};

#[tokio::test]
async fn a_token_proves_its_tenant_and_whatever_else_it_says() {
    let proof = says(json!({
        "tenant": null, "tenant_id": "acme-1", "tid": "acme-1", "sub": "user-7", "aud": ["other", "nooble"],
        "agents": ["agent-1", "agent-2"], "tier": "professional", "nbf": in_seconds(-5), "iat": 1.5,
    }))
    .await
    .unwrap();
    assert_eq!((proof.tenant.as_str(), proof.user.unwrap().as_str()), ("acme-1", "user-7"));
    assert_eq!((proof.tier, proof.agents.unwrap().len()), (Some(Tier::Professional), 2));
    assert_eq!(proof.scopes, Scopes::from([Scope::Tenant]));
}

#[tokio::test]
async fn a_user_is_who_the_token_names_and_a_subject_that_is_no_id_names_nobody() {
    for (changes, user) in [
        (json!({}), None),
        (json!({ "sub": "user-7" }), Some("user-7")),
        (json!({ "sub": "user-7", "user": "user-8" }), Some("user-8")),
        (json!({ "sub": "somebody@example.com" }), None),
    ] {
        let proof = says(changes.clone()).await.unwrap();
        assert_eq!(proof.user.as_ref().map(action::UserId::as_str), user, "{changes}");
    }
}

#[tokio::test]
async fn a_token_grants_to_act_as_its_tenant_and_never_more() {
    for (changes, granted) in [
        (json!({}), true),
        (json!({ "scope": "openid tenant email" }), true),
        (json!({ "scopes": ["tenant", "admin", "worker:query"] }), true),
        (json!({ "scope": "admin worker:query" }), false),
        (json!({ "scopes": [] }), false),
        (json!({ "scope": "tenantry" }), false),
    ] {
        let expected = if granted { Scopes::from([Scope::Tenant]) } else { Scopes::default() };
        assert_eq!(says(changes.clone()).await.unwrap().scopes, expected, "{changes}");
    }
}

#[tokio::test]
async fn a_token_ends_with_its_time_and_the_leeway() {
    let (checker, token) = (tokens(&config()), signed(&json!({ "alg": "HS256" }), &super::claims(&json!({}))));
    let now = SystemTime::now();
    let proof = checker.verify_at(&token, now).await.unwrap();
    let left = proof.expires_at.duration_since(now).unwrap();
    assert!((Duration::from_secs(88)..=Duration::from_secs(91)).contains(&left), "{left:?}");
    assert!(checker.verify_at(&token, proof.expires_at - Duration::from_millis(1)).await.is_ok());
    let late = checker.verify_at(&token, proof.expires_at).await.unwrap_err();
    assert_eq!((late.clone(), late.failure().reason()), (Error::Expired, &reason::CREDENTIAL_EXPIRED));
    assert!(says(json!({ "nbf": in_seconds(20) })).await.is_ok(), "the leeway is for clocks that differ");
}

#[tokio::test]
async fn a_token_that_was_minted_is_accepted_and_says_what_was_granted() {
    let grant = Grant {
        tenant: "acme-1".parse().unwrap(),
        user: Some("user-7".parse().unwrap()),
        agents: Some(BTreeSet::from(["agent-1".parse().unwrap()])),
        tier: Some(Tier::Free),
        ttl: minutes(5),
    };
    let token = mint(&config(), &grant).unwrap();
    assert!(is_token(token.expose()));
    let proof = tokens(&config()).verify(token.expose()).await.unwrap();
    assert_eq!(
        (proof.tenant, proof.user, proof.agents),
        (grant.tenant.clone(), grant.user.clone(), grant.agents.clone())
    );
    assert_eq!(proof.tier, grant.tier);
    assert!(mint(&super::JwtConfig::default(), &grant).is_none());
}

#[tokio::test]
async fn without_a_key_a_token_is_refused_and_says_so() {
    let refused = tokens(&super::JwtConfig::default()).verify(&good()).await.unwrap_err();
    assert_eq!(refused.reason(), &reason::CREDENTIAL_INVALID);
    assert!(refused.detail().contains("JWT_SECRET"), "{refused}");
}

#[test]
fn tokens_and_keys_are_told_apart() {
    for (text, token) in [
        (good().as_str(), true),
        ("a.b.c", true),
        ("a.b.", true),
        ("nbl_abc_def", false),
        ("a.b", false),
        ("a.b.c.d", false),
        ("a.b.c d", false),
        ("a.b.ü", false),
    ] {
        assert_eq!(is_token(text), token, "{text}");
    }
}
