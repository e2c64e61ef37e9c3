use http::{HeaderMap, HeaderName, HeaderValue};

use super::Credential;

#[track_caller]
fn check(headers: &[(&str, &str)], expected: Result<Option<&str>, &str>) {
    let map = headers.iter().map(|(name, value)| {
        (HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    });
    let mut collected = HeaderMap::new();
    map.for_each(|(name, value)| {
        collected.append(name, value);
    });
    let found = Credential::find_on_upgrade(&collected);
    let found = found.map(|credential| credential.map(|credential| credential.expose().to_owned()));
    assert_eq!(found.map_err(|failure| failure.reason().id), expected.map(|key| key.map(str::to_owned)));
}

#[test]
fn a_credential_is_found_wherever_it_may_stand() {
    check(&[], Ok(None));
    check(&[("authorization", "Bearer nbl_a_b")], Ok(Some("nbl_a_b")));
    check(&[("authorization", "bearer  nbl_a_b ")], Ok(Some("nbl_a_b")));
    check(&[("x-api-key", " nbl_a_b ")], Ok(Some("nbl_a_b")));
    check(&[("x-api-key", "nbl_a_b"), ("authorization", "Bearer nbl_a_b")], Ok(Some("nbl_a_b")));
    check(&[("sec-websocket-protocol", "nooble.v1, bearer.nbl_a_b")], Ok(Some("nbl_a_b")));
    check(
        &[("sec-websocket-protocol", "nooble.v1"), ("sec-websocket-protocol", "bearer.nbl_a_b")],
        Ok(Some("nbl_a_b")),
    );
    check(&[("sec-websocket-protocol", "nooble.v1")], Ok(None));
    check(&[("sec-websocket-protocol", "bearer.nbl_a_b"), ("x-api-key", "nbl_a_b")], Ok(Some("nbl_a_b")));
}

#[test]
fn a_credential_that_is_ambiguous_or_malformed_is_refused() {
    check(&[("authorization", "Basic abc")], Err("CREDENTIAL_INVALID"));
    check(&[("authorization", "Bearer")], Err("CREDENTIAL_INVALID"));
    check(&[("authorization", "Bearer  ")], Err("CREDENTIAL_INVALID"));
    check(&[("authorization", "Bearer a"), ("authorization", "Bearer b")], Err("DUPLICATE_HEADER"));
    check(&[("x-api-key", "a"), ("x-api-key", "a")], Err("DUPLICATE_HEADER"));
    check(&[("x-api-key", "a"), ("authorization", "Bearer b")], Err("CREDENTIAL_INVALID"));
    check(&[("sec-websocket-protocol", "bearer.a"), ("authorization", "Bearer b")], Err("CREDENTIAL_INVALID"));
    check(&[("sec-websocket-protocol", "bearer.a"), ("x-api-key", "b")], Err("CREDENTIAL_INVALID"));
    check(&[("x-api-key", "clé")], Err("CREDENTIAL_INVALID"));
    check(&[("x-api-key", "")], Err("CREDENTIAL_REQUIRED"));
}

#[test]
fn a_credential_does_not_print_itself() {
    assert_eq!(format!("{:?}", Credential::new("nbl_a_canary").unwrap()), "***");
}
