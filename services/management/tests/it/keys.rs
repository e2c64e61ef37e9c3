//! Keys.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use futures::future::join_all;
use management::{Config, admin_key};
use proto::action::v1::Tier;
use proto::management::v1 as wire;
use proto::management::v1::management_service_server::ManagementService as _;

use crate::{Fixture, because, by, open, operator, read, refusal, resolve};

async fn revoke(fixture: &Fixture, key_id: &str) -> Result<wire::ApiKey, fault::Failure> {
    let request = wire::RevokeApiKeyRequest { key_id: key_id.into() };
    read(fixture.grpc.revoke_api_key(by(&operator(), request)).await)
        .map(|response| response.key.expect("it was revoked"))
}

#[tokio::test]
async fn a_key_resolves_to_its_tenant_and_scopes() {
    let fixture = Fixture::new().await;
    fixture.tenant("acme", Tier::Professional).await;
    let (key_id, secret) = fixture.key("acme", &["tenant", "worker:execution"]).await;
    assert!(secret.starts_with(&format!("nbl_{key_id}_")));
    let resolved = fixture.resolve(&secret).await.unwrap();
    let tenant = resolved.tenant.unwrap();
    assert_eq!((tenant.tenant_id.as_str(), tenant.tier(), tenant.is_active), ("acme", Tier::Professional, true));
    assert_eq!(resolved.key_id, key_id);
    assert_eq!(
        resolved.scopes.into_iter().collect::<HashSet<_>>(),
        ["tenant".into(), "worker:execution".into()].into()
    );
}

#[tokio::test]
async fn a_key_is_a_tenants_unless_it_says_otherwise_and_an_operators_has_no_tenant() {
    let fixture = Fixture::new().await;
    fixture.tenant("acme", Tier::Free).await;
    let (_, secret) = fixture.key("acme", &[]).await;
    assert_eq!(fixture.resolve(&secret).await.unwrap().scopes, ["tenant"]);
    let (_, secret) = fixture.key("", &["admin"]).await;
    let resolved = fixture.resolve(&secret).await.unwrap();
    assert_eq!((resolved.tenant, resolved.scopes), (None, vec!["admin".to_owned()]));
}

#[tokio::test]
async fn wrong_malformed_unknown_and_revoked_keys_get_the_same_answer() {
    let fixture = Fixture::new().await;
    fixture.tenant("acme", Tier::Free).await;
    let (key_id, secret) = fixture.key("acme", &[]).await;
    let (other_id, other) = fixture.key("acme", &[]).await;
    let others_secret = other.rsplit('_').next().unwrap();
    let revoked = revoke(&fixture, &key_id).await.unwrap();
    assert!(revoked.revoked_at.is_some());
    let mut answers = HashSet::new();
    for credential in [
        String::new(),
        "nonsense".into(),
        "nbl_unknown0000000_secret".into(),
        format!("nbl_{other_id}_{}", "x".repeat(43)),
        format!("nbl_{key_id}_{others_secret}"),
        format!("{other}x"),
        other[..other.len() - 1].into(),
        format!("nbl_{other_id}_"),
        "x".repeat(100_000),
        secret,
    ] {
        let failure = fixture.resolve(&credential).await.unwrap_err();
        answers.insert((failure.reason().id, failure.detail().to_owned()));
    }
    assert_eq!(answers.len(), 1);
    assert_eq!(answers.into_iter().next().unwrap().0, "CREDENTIAL_INVALID");
    assert!(fixture.resolve(&other).await.is_ok());
}

#[tokio::test]
async fn a_revoked_key_stays_revoked_from_the_first_time() {
    let fixture = Fixture::new().await;
    let (key_id, _) = fixture.key("", &["admin"]).await;
    let first = revoke(&fixture, &key_id).await.unwrap();
    assert_eq!(revoke(&fixture, &key_id).await.unwrap(), first);
    assert_eq!(refusal(revoke(&fixture, "unknown").await), because("NOT_FOUND", "key_id"));
}

#[tokio::test]
async fn a_suspended_tenants_key_tells_so_and_keeps_no_other_scope() {
    let fixture = Fixture::new().await;
    fixture.tenant("acme", Tier::Free).await;
    let (_, secret) = fixture.key("acme", &["tenant", "admin"]).await;
    let request = wire::UpdateTenantRequest { tenant_id: "acme".into(), is_active: Some(false), ..Default::default() };
    fixture.grpc.update_tenant(by(&operator(), request)).await.unwrap();
    let resolved = fixture.resolve(&secret).await.unwrap();
    assert_eq!((resolved.tenant.unwrap().is_active, resolved.scopes), (false, vec!["tenant".to_owned()]));
}

#[tokio::test]
async fn every_bound_of_a_key_is_kept() {
    let fixture = Fixture::new().await;
    fixture.tenant("acme", Tier::Free).await;
    for (tenant, name, scopes, expected) in [
        ("x", "", &[][..], because("INVALID_FIELD", "tenant_id")),
        ("nobody", "", &[], because("NOT_FOUND", "tenant_id")),
        ("acme", "two\nlines", &[], because("INVALID_FIELD", "name")),
        ("acme", "", &["root"], because("INVALID_FIELD", "scopes")),
        ("acme", "", &["worker:nothing"], because("INVALID_FIELD", "scopes")),
        ("", "", &[], because("INVALID_FIELD", "scopes")),
        ("", "", &["admin", "tenant"], because("INVALID_FIELD", "scopes")),
    ] {
        let scopes = scopes.iter().map(|&scope: &&str| scope.to_owned()).collect();
        let request =
            wire::CreateApiKeyRequest { tenant_id: tenant.into(), name: name.into(), scopes, expires_at: None };
        assert_eq!(refusal(read(fixture.grpc.create_api_key(by(&operator(), request)).await)), expected);
    }
}

#[tokio::test]
async fn no_file_holds_a_secret_but_the_admin_key() {
    let fixture = Fixture::new().await;
    let (_, secret) = fixture.key("", &["admin"]).await;
    let admin = admin_key(&Config::default(), fixture.folder.path()).await.unwrap();
    let secret = secret.rsplit('_').next().unwrap().as_bytes();
    let admin = admin.expose().rsplit('_').next().unwrap().as_bytes();
    let holds = |path: &std::path::Path, needle: &[u8]| {
        std::fs::read(path).unwrap().windows(needle.len()).any(|window| window == needle)
    };
    for entry in std::fs::read_dir(fixture.folder.path().join("sql")).unwrap() {
        let path = entry.unwrap().path();
        assert!(!holds(&path, secret) && !holds(&path, admin), "{}", path.display());
    }
}

#[tokio::test]
async fn the_admin_key_is_made_once_is_private_and_resolves() {
    let fixture = Fixture::new().await;
    let folder = fixture.folder.path();
    let made = join_all((0..4).map(async |_| admin_key(&Config::default(), folder).await.unwrap())).await;
    assert!(made.iter().all(|key| key == &made[0]));
    let path = folder.join("admin.key");
    assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), made[0].expose());
    for file in ["admin.key", "pepper.key"] {
        assert_eq!(std::fs::metadata(folder.join(file)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let resolved = fixture.resolve(made[0].expose()).await.unwrap();
    assert_eq!((resolved.tenant, resolved.scopes), (None, vec!["admin".to_owned()]));
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.collect::<HashSet<_>>(), ["admin.key", "pepper.key", "sql"].map(str::to_owned).into());
}

#[tokio::test]
async fn an_admin_key_that_is_not_accepted_any_more_is_replaced() {
    let fixture = Fixture::new().await;
    let folder = fixture.folder.path();
    let old = admin_key(&Config::default(), folder).await.unwrap();
    revoke(&fixture, old.expose().split('_').nth(1).unwrap()).await.unwrap();
    let new = admin_key(&Config::default(), folder).await.unwrap();
    assert!(new != old);
    assert_eq!(refusal(fixture.resolve(old.expose()).await).0, "CREDENTIAL_INVALID");
    assert!(fixture.resolve(new.expose()).await.is_ok());

    std::fs::write(folder.join("admin.key"), "broken\n").unwrap();
    let newest = admin_key(&Config::default(), folder).await.unwrap();
    assert!(fixture.resolve(newest.expose()).await.is_ok());
}

#[tokio::test]
async fn tables_that_were_lost_learn_the_admin_key_again() {
    let fixture = Fixture::new().await;
    let key = admin_key(&Config::default(), fixture.folder.path()).await.unwrap();
    let moved = tempfile::tempdir().unwrap();
    for file in ["admin.key", "pepper.key"] {
        std::fs::copy(fixture.folder.path().join(file), moved.path().join(file)).unwrap();
    }
    assert!(admin_key(&Config::default(), moved.path()).await.unwrap() == key);
    assert!(resolve(&open(moved.path()).await, key.expose()).await.is_ok());
}

fn in_seconds(seconds: i64) -> prost_types::Timestamp {
    let now = action::time::to_proto(std::time::SystemTime::now());
    prost_types::Timestamp { seconds: now.seconds + seconds, ..now }
}

async fn create_until(
    fixture: &Fixture,
    end: prost_types::Timestamp,
) -> Result<wire::CreateApiKeyResponse, fault::Failure> {
    let request = wire::CreateApiKeyRequest { tenant_id: "acme".into(), expires_at: Some(end), ..Default::default() };
    read(fixture.grpc.create_api_key(by(&operator(), request)).await)
}

async fn rotate(
    fixture: &Fixture,
    request: wire::RotateApiKeyRequest,
) -> Result<wire::RotateApiKeyResponse, fault::Failure> {
    read(fixture.grpc.rotate_api_key(by(&operator(), request)).await)
}

fn rotation(key_id: &str, overlap: Option<Duration>) -> wire::RotateApiKeyRequest {
    let overlap = overlap.map(action::time::duration_to_proto);
    wire::RotateApiKeyRequest { key_id: key_id.into(), overlap, expires_at: None }
}

#[tokio::test]
async fn a_key_ends_by_itself_and_says_so_to_whoever_has_it() {
    let fixture = Fixture::new().await;
    fixture.tenant("acme", Tier::Free).await;
    for end in [in_seconds(-1), prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }] {
        assert_eq!(refusal(create_until(&fixture, end).await), because("INVALID_FIELD", "expires_at"));
    }
    let made = create_until(&fixture, in_seconds(1)).await.unwrap();
    let key = made.key.unwrap();
    let resolved = fixture.resolve(&made.secret).await.unwrap();
    assert_eq!((resolved.expires_at, resolved.expires_at.is_some()), (key.expires_at, true));
    let expired =
        async || fixture.resolve(&made.secret).await.is_err_and(|refused| refused.reason().id == "CREDENTIAL_EXPIRED");
    testkit::eventually(Duration::from_secs(5), expired).await;
    let wrong = format!("nbl_{}_{}", key.key_id, "x".repeat(43));
    assert_eq!(refusal(fixture.resolve(&wrong).await).0, "CREDENTIAL_INVALID", "others are not told");
    assert_eq!(refusal(rotate(&fixture, rotation(&key.key_id, None)).await), because("INVALID_FIELD", "key_id"));
}

#[tokio::test]
async fn a_key_that_is_replaced_goes_on_for_the_overlap_and_no_longer() {
    let fixture = Fixture::new().await;
    fixture.tenant("acme", Tier::Free).await;
    let (key_id, secret) = fixture.key("acme", &["tenant", "worker:query"]).await;
    let rotated = rotate(&fixture, rotation(&key_id, Some(Duration::from_secs(1)))).await.unwrap();
    let (new, old) = (rotated.key.unwrap(), rotated.replaced.unwrap());
    assert_eq!((new.tenant_id.as_str(), new.name.as_str(), new.expires_at), ("acme", "a key", None));
    assert_eq!((old.key_id.as_str(), &old.replaced_by), (key_id.as_str(), &new.key_id));
    let scopes = fixture.resolve(&rotated.secret).await.unwrap().scopes;
    assert_eq!(fixture.resolve(&secret).await.unwrap().scopes, scopes);
    testkit::eventually(Duration::from_secs(5), async || fixture.resolve(&secret).await.is_err()).await;
    assert!(fixture.resolve(&rotated.secret).await.is_ok());

    let at_once = rotate(&fixture, rotation(&new.key_id, Some(Duration::ZERO))).await.unwrap();
    assert_eq!(refusal(fixture.resolve(&rotated.secret).await).0, "CREDENTIAL_EXPIRED");
    assert!(fixture.resolve(&at_once.secret).await.is_ok());
}

#[tokio::test]
async fn a_replacement_lasts_as_long_as_the_key_before_and_never_prolongs_that() {
    let fixture = Fixture::new().await;
    fixture.tenant("acme", Tier::Free).await;
    let made = create_until(&fixture, in_seconds(600)).await.unwrap().key.unwrap();
    let rotated = rotate(&fixture, rotation(&made.key_id, None)).await.unwrap();
    assert_eq!(rotated.replaced.unwrap().expires_at, made.expires_at, "24 h would be longer");
    let (end, new_end) = (made.expires_at.unwrap(), rotated.key.unwrap().expires_at.unwrap());
    assert!((0..10).contains(&(new_end.seconds - end.seconds)), "{end:?} {new_end:?}");
    let endless = fixture.key("acme", &[]).await.0;
    let rotated = rotate(&fixture, rotation(&endless, None)).await.unwrap();
    let left = rotated.replaced.unwrap().expires_at.unwrap().seconds - in_seconds(0).seconds;
    assert!((86_390..=86_401).contains(&left), "{left}");
}

#[tokio::test]
async fn every_bound_of_a_replacement_is_kept() {
    let fixture = Fixture::new().await;
    let (key_id, _) = fixture.key("", &["admin"]).await;
    let day = Duration::from_hours(24);
    assert_eq!(refusal(rotate(&fixture, rotation("unknown", None)).await), because("NOT_FOUND", "key_id"));
    assert_eq!(refusal(rotate(&fixture, rotation(&key_id, Some(day * 31))).await), because("INVALID_FIELD", "overlap"));
    let past = wire::RotateApiKeyRequest { expires_at: Some(in_seconds(-1)), ..rotation(&key_id, None) };
    assert_eq!(refusal(rotate(&fixture, past).await), because("INVALID_FIELD", "expires_at"));
    rotate(&fixture, rotation(&key_id, None)).await.unwrap();
    assert_eq!(refusal(rotate(&fixture, rotation(&key_id, None)).await), because("INVALID_FIELD", "key_id"), "twice");
    let (revoked, _) = fixture.key("", &["admin"]).await;
    revoke(&fixture, &revoked).await.unwrap();
    assert_eq!(refusal(rotate(&fixture, rotation(&revoked, None)).await), because("INVALID_FIELD", "key_id"));
}

#[tokio::test]
async fn keys_are_listed_by_pages_and_by_tenant_without_their_secrets() {
    let fixture = Fixture::new().await;
    for tenant in ["acme", "other"] {
        fixture.tenant(tenant, Tier::Free).await;
        for _ in 0..3 {
            fixture.key(tenant, &[]).await;
        }
    }
    let (revoked, secret) = fixture.key("acme", &[]).await;
    revoke(&fixture, &revoked).await.unwrap();
    let page = async |tenant: &str, page_token: String| {
        let request = wire::ListApiKeysRequest { tenant_id: tenant.into(), page_size: 3, page_token };
        read(fixture.grpc.list_api_keys(by(&operator(), request)).await).unwrap()
    };
    for (tenant, count) in [("acme", 4), ("other", 3), ("", 7)] {
        let (mut keys, mut token) = (Vec::new(), String::new());
        loop {
            let answer = page(tenant, token).await;
            assert!(answer.keys.len() <= 3);
            assert!(!format!("{answer:?}").contains(secret.rsplit('_').next().unwrap()));
            keys.extend(answer.keys);
            token = answer.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(keys.len(), count);
        assert!(keys.is_sorted_by(|one, other| one.key_id < other.key_id));
        assert!(tenant.is_empty() || keys.iter().all(|key| key.tenant_id == tenant));
        assert_eq!(keys.iter().any(|key| key.revoked_at.is_some()), tenant != "other");
    }
}
