use std::time::{Duration, SystemTime, UNIX_EPOCH};

use action::{TenantId, Tier};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fault::reason;
use http::HeaderMap;

use super::{Caller, Identity, Scope, Scopes, Signed, Signer, Tenant, key_file, presented};
use crate::config::Secret;

fn signer() -> Signer {
    Signer::new(&Secret::new("the key of the mesh"))
}

fn caller() -> Caller {
    let tenant = Tenant { id: "acme-1".parse().unwrap(), tier: Tier::Advance, active: true };
    Caller {
        tenant: Some(tenant),
        user: Some("user-9".parse().unwrap()),
        scopes: Scopes::parse(["tenant", "worker:query", "of-the-future"]),
        agents: Some(["agent-1", "agent-2"].map(|agent| agent.parse().unwrap()).into()),
        expires_at: Some(UNIX_EPOCH + Duration::from_secs(4_000_000_000)),
        admitted: true,
        service: Some("gateway".to_owned()),
    }
}

#[test]
fn a_signed_identity_is_read_back_as_it_was() {
    let signer = signer();
    let text = signer.sign(&caller(), Duration::from_secs(10));
    assert_eq!(signer.verify(&text).unwrap(), caller());
    let suspended = Tenant { active: false, ..caller().tenant.unwrap() };
    let suspended = Caller { tenant: Some(suspended), ..caller() };
    assert_eq!(signer.verify(&signer.sign(&suspended, Duration::from_secs(10))).unwrap(), suspended);
    let nobody = Identity::service().called_by("orchestrator");
    assert_eq!(signer.verify(&signer.sign(&nobody, Duration::from_secs(10))).unwrap(), nobody);
}

#[test]
fn an_identity_of_another_mesh_or_with_a_changed_bit_is_forged() {
    let text = Signer::new(&Secret::new("another key")).sign(&caller(), Duration::from_secs(10));
    assert_eq!(signer().verify(&text).unwrap_err().reason(), &reason::IDENTITY_FORGED);

    let good = signer().sign(&caller(), Duration::from_secs(10));
    let (claims, mac) = good.split_once('.').unwrap();
    let more = String::from_utf8(URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap().replace("advance", "enterprise");
    let raised = format!("{}.{mac}", URL_SAFE_NO_PAD.encode(more));
    let cut = &good[..good.len() - 1];
    for forged in [raised.as_str(), cut, claims, mac, "", ".", "a.b", "{}"] {
        assert_eq!(signer().verify(forged).unwrap_err().reason(), &reason::IDENTITY_FORGED, "{forged}");
    }
}

#[test]
fn an_identity_lasts_a_minute_at_most() {
    let (signer, now) = (signer(), SystemTime::now());
    let text = signer.sign_at(&caller(), now + Duration::from_secs(30));
    signer.verify_at(&text, now).unwrap();
    let expired = signer.verify_at(&text, now + Duration::from_secs(40)).unwrap_err();
    assert_eq!((expired.reason(), expired.detail()), (&reason::IDENTITY_FORGED, "the identity is out of date"));
    let endless = signer.sign_at(&caller(), now + Duration::from_hours(1));
    assert_eq!(signer.verify_at(&endless, now).unwrap_err().reason(), &reason::IDENTITY_FORGED);
    let clamped = signer.sign(&caller(), Duration::from_hours(1));
    signer.verify(&clamped).unwrap();
}

#[test]
fn an_identity_without_an_acting_service_is_forged() {
    let outside = Caller { service: None, ..caller() };
    let text = signer().sign(&outside, Duration::from_secs(10));
    assert_eq!(signer().verify(&text).unwrap_err().reason(), &reason::IDENTITY_FORGED);
}

#[test]
fn a_credential_stands_in_one_of_two_headers() {
    let found = |pairs: &[(&'static str, &str)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        presented(&headers).map(|credential| credential.map(str::to_owned)).map_err(|failure| failure.reason().id)
    };
    assert_eq!(found(&[]), Ok(None));
    assert_eq!(found(&[("authorization", "bearer nbl_a_b")]), Ok(Some("nbl_a_b".to_owned())));
    assert_eq!(found(&[("x-api-key", " nbl_a_b ")]), Ok(Some("nbl_a_b".to_owned())));
    assert_eq!(found(&[("x-api-key", "one"), ("authorization", "Bearer one")]), Ok(Some("one".to_owned())));
    let wrong: [&[_]; 4] = [
        &[("authorization", "Basic dXNlcg==")],
        &[("authorization", "Bearer ")],
        &[("x-api-key", "")],
        &[("x-api-key", "one"), ("authorization", "Bearer two")],
    ];
    for headers in wrong {
        assert_eq!(found(headers), Err("CREDENTIAL_INVALID"), "{headers:?}");
    }
    let twice = [("authorization", "Bearer a.b.c"), ("authorization", "Bearer a.b.d")];
    assert_eq!(found(&twice), Err("CREDENTIAL_INVALID"));
    let mut strange = HeaderMap::new();
    strange.insert("authorization", http::HeaderValue::from_bytes(b"Bearer a.b.\xff").unwrap());
    assert_eq!(presented(&strange).unwrap_err().reason(), &reason::CREDENTIAL_INVALID);
}

#[test]
fn a_caller_acts_for_its_own_tenant_and_an_operator_for_any() {
    let own = caller();
    let acme: TenantId = "acme-1".parse().unwrap();
    assert_eq!(own.acting_for("").unwrap(), acme);
    assert_eq!(own.acting_for("acme-1").unwrap(), acme);
    assert_eq!(own.acting_for("other-1").unwrap_err().reason(), &reason::TENANT_MISMATCH);
    assert_eq!(own.acting_for("!").unwrap_err().reason(), &reason::INVALID_FIELD);
    let operator = Caller { scopes: Scopes::from([Scope::Admin]), ..Caller::default() };
    assert_eq!(operator.acting_for("other-1").unwrap().as_str(), "other-1");
    assert_eq!(operator.acting_for("").unwrap_err().reason(), &reason::SCOPE_REQUIRED);
    assert_eq!(operator.inside().unwrap_err().reason(), &reason::SCOPE_REQUIRED);
    assert_eq!(own.inside().unwrap(), "gateway");
    assert_eq!(own.assert_tier(Tier::Enterprise, "x-tenant-tier").unwrap_err().field_name(), Some("x-tenant-tier"));
    let suspended = Tenant { active: false, ..own.tenant.clone().unwrap() };
    let suspended = Caller { tenant: Some(suspended), ..own };
    assert_eq!(suspended.tenant().unwrap_err().reason(), &reason::TENANT_INACTIVE);
}

#[test]
fn a_credential_is_for_its_agents_its_user_and_its_time() {
    let limited = caller();
    let none = Caller { agents: Some([].into()), ..caller() };
    let (own, other) = ("agent-1".parse().unwrap(), "agent-3".parse().unwrap());
    limited.assert_agent(&own).unwrap();
    assert_eq!(limited.assert_agent(&other).unwrap_err().reason(), &reason::ACCESS_DENIED);
    assert_eq!(none.assert_agent(&own).unwrap_err().reason(), &reason::ACCESS_DENIED);
    Caller { agents: None, ..caller() }.assert_agent(&other).unwrap();
    assert_eq!(limited.assert_unlimited().unwrap_err().reason(), &reason::ACCESS_DENIED);

    let user = |text: &str| Some(text.parse().unwrap());
    assert_eq!(limited.assert_user(None, "user_id").unwrap(), user("user-9"));
    assert_eq!(limited.assert_user(user("user-9"), "user_id").unwrap(), user("user-9"));
    assert_eq!(limited.assert_user(user("user-8"), "user_id").unwrap_err().field_name(), Some("user_id"));
    assert_eq!(Caller { user: None, ..caller() }.assert_user(user("user-8"), "user_id").unwrap(), user("user-8"));

    let end = limited.expires_at.unwrap();
    limited.in_force(end - Duration::from_millis(1)).unwrap();
    assert_eq!(limited.in_force(end).unwrap_err().reason(), &reason::CREDENTIAL_EXPIRED);
}

#[tokio::test]
async fn a_stream_ends_with_its_proof_or_with_its_credential() {
    use futures::stream::{self, StreamExt as _};
    let soon = Some(SystemTime::now() + Duration::from_millis(50));
    let late = Some(SystemTime::now() + Duration::from_hours(1));
    let (short, long) = (Duration::from_millis(100), Duration::from_mins(10));
    for (expires_at, proof, end) in [
        (None, short, "DRAINING"),
        (late, short, "DRAINING"),
        (soon, long, "CREDENTIAL_EXPIRED"),
        (Some(SystemTime::now()), long, "CREDENTIAL_EXPIRED"),
    ] {
        let caller = Caller { expires_at, service: None, ..caller() };
        let standing = super::Standing { caller, presented: None };
        let mut answers = super::while_proved::<()>(standing, proof, stream::pending().boxed());
        let last = tokio::time::timeout(Duration::from_secs(10), answers.next()).await.unwrap().unwrap();
        assert_eq!(fault::Failure::from_status(&last.unwrap_err()).reason().id, end);
    }
}

#[test]
fn a_key_file_is_made_once_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identity.key");
    let key = key_file(&path).unwrap();
    assert!(key.expose().len() >= 43);
    assert_eq!(key_file(&path).unwrap(), key);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::write(&path, "\n").unwrap();
    assert!(key_file(&path).is_err(), "an empty key would sign for everyone");
}

#[test]
fn callers_are_signed_one_by_one_and_not_anew_for_every_call() {
    let signed = Signed::new(signer());
    let another = Caller { admitted: false, ..caller() };
    let (first, second) = (signed.header(&caller()), signed.header(&another));
    // The same bytes in the same place; a second may end between any two calls.
    let again = || signed.header(&caller()).as_bytes().as_ptr() == signed.header(&caller()).as_bytes().as_ptr();
    assert!((0..10).any(|_| again()));
    assert_ne!(first, second);
    for (header, caller) in [(first, caller()), (second, another)] {
        assert_eq!(signer().verify(header.to_str().unwrap()).unwrap(), caller);
    }
}
