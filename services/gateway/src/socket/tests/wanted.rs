use http::{HeaderMap, HeaderName, HeaderValue};

use crate::params::Params;
use crate::socket::Position;
use crate::socket::wanted::Wanted;

fn parse(session: &str, query: &str, headers: &[(&str, &str)]) -> Result<Wanted, (String, Option<String>)> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let params = Params::of(&format!("/?{query}").parse().unwrap()).unwrap();
    Wanted::parse(session, &params, &map)
        .map_err(|failure| (failure.reason().id.to_owned(), failure.field_name().map(str::to_owned)))
}

#[track_caller]
fn refused(session: &str, query: &str, headers: &[(&str, &str)], reason: &str, field: &str) {
    assert_eq!(parse(session, query, headers).unwrap_err(), (reason.to_owned(), Some(field.to_owned())));
}

#[test]
fn parameters_and_headers_say_the_same() {
    let by_query = parse("session-1", "tenant_id=tenant-1&tier=free&agent_id=agent-1&user_id=user-1", &[]).unwrap();
    let headers =
        [("x-tenant-id", "tenant-1"), ("x-tenant-tier", "free"), ("x-agent-id", "agent-1"), ("x-user-id", "user-1")];
    assert_eq!(parse("session-1", "", &headers).unwrap(), by_query);
    assert_eq!(parse("session-1", "tenant_id=tenant-1&tenant_tier=free", &headers).unwrap(), by_query);
    assert!(by_query.from.is_none());
}

#[test]
fn a_position_is_read_whole_or_refused() {
    let wanted = parse("session-1", "tenant_id=tenant-1&tier=free&epoch=e1&seq=41", &[]).unwrap();
    assert_eq!(wanted.from, Some(Position { epoch: "e1".to_owned(), seq: 41 }));
    refused("session-1", "tenant_id=tenant-1&tier=free&epoch=e1", &[], "INVALID_REQUEST", "seq");
    refused("session-1", "tenant_id=tenant-1&tier=free&seq=1", &[], "INVALID_REQUEST", "epoch");
    refused("session-1", "tenant_id=tenant-1&tier=free&epoch=e1&seq=-1", &[], "INVALID_REQUEST", "seq");
}

#[test]
fn what_is_missing_or_malformed_or_disagrees_is_named() {
    refused("session-1", "", &[], "MISSING_REQUIRED_HEADERS", "tenant_id");
    refused("session-1", "tenant_id=tenant-1", &[], "MISSING_REQUIRED_HEADERS", "tier");
    refused("s", "tenant_id=tenant-1&tier=free", &[], "INVALID_REQUEST", "session_id");
    refused("session-1", "tenant_id=t%201&tier=free", &[], "INVALID_REQUEST", "tenant_id");
    refused("session-1", "tenant_id=tenant-1&tier=gold", &[], "INVALID_TIER", "tier");
    refused("session-1", "tenant_id=tenant-1&tenant_id=tenant-2&tier=free", &[], "INVALID_REQUEST", "tenant_id");
    refused("session-1", "tenant_id=tenant-1&tier=free&tenant_tier=advance", &[], "INVALID_REQUEST", "tier");
    refused(
        "session-1",
        "tenant_id=tenant-1&tier=free",
        &[("x-tenant-id", "tenant-2")],
        "INVALID_REQUEST",
        "tenant_id",
    );
    let twice = [("x-tenant-id", "tenant-1"), ("x-tenant-id", "tenant-1")];
    refused("session-1", "tier=free", &twice, "DUPLICATE_HEADER", "X-Tenant-ID");
}

#[test]
fn a_credential_in_the_address_is_refused() {
    for name in ["token", "access_token", "api_key"] {
        refused("session-1", &format!("tenant_id=tenant-1&tier=free&{name}=x"), &[], "INVALID_REQUEST", name);
    }
}
