//! `nooble key-create`, `key-rotate`, `key-list`.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use action::time;
use anyhow::{Context as _, Result};
use proto::management::v1::{ApiKey, CreateApiKeyRequest, ListApiKeysRequest, RotateApiKeyRequest};
use serde_json::{Value, json};

use super::{Lines, client};
use crate::mesh::{Access, print_json, refused};
use crate::span;

pub(super) async fn create(
    tenant_id: String,
    scopes: Vec<String>,
    expires_in: Option<Duration>,
    access: &Access,
) -> Result<Lines> {
    let name = "made by the command line".to_owned();
    let request = CreateApiKeyRequest { tenant_id, name, scopes, expires_at: end(expires_in)? };
    let answer = client(access).await?.create_api_key(request).await.map_err(|status| refused(&status))?.into_inner();
    Ok(made(&answer.key.context("a key was made")?, answer.secret))
}

pub(super) async fn rotate(
    key_id: String,
    overlap: Duration,
    expires_in: Option<Duration>,
    access: &Access,
) -> Result<Lines> {
    let overlap = Some(time::duration_to_proto(overlap));
    let request = RotateApiKeyRequest { key_id, overlap, expires_at: end(expires_in)? };
    let answer = client(access).await?.rotate_api_key(request).await.map_err(|status| refused(&status))?.into_inner();
    let mut lines = made(&answer.key.context("a key was made")?, answer.secret);
    let replaced = answer.replaced.context("a key was replaced")?;
    lines.push(("replaced", replaced.key_id));
    lines.push(("replaced_works_for", left(replaced.expires_at.as_ref(), SystemTime::now())));
    Ok(lines)
}

/// Prints every key: as a table, or as one JSON document.
pub(super) async fn list(tenant: &str, access: &Access) -> Result<()> {
    let mut client = client(access).await?;
    let (mut keys, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListApiKeysRequest { tenant_id: tenant.to_owned(), page_size: 100, page_token };
        let page = client.list_api_keys(request).await.map_err(|status| refused(&status))?.into_inner();
        keys.extend(page.keys);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if access.json() {
        return print_json(&json!({ "keys": keys.iter().map(document).collect::<Vec<_>>() }));
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<18} {:<20} {:<26} {:<14} name", "key id", "tenant", "scopes", "state")?;
    for key in keys {
        let (tenant, scopes, state) = (or_dash(&key.tenant_id), key.scopes.join(","), state(&key, SystemTime::now()));
        writeln!(out, "{:<18} {tenant:<20} {scopes:<26} {state:<14} {}", key.key_id, key.name)?;
    }
    Ok(())
}

fn made(key: &ApiKey, secret: String) -> Lines {
    let mut lines = vec![("key_id", key.key_id.clone()), ("api_key", secret)];
    if key.expires_at.is_some() {
        lines.push(("expires_in", left(key.expires_at.as_ref(), SystemTime::now())));
    }
    lines
}

fn end(span: Option<Duration>) -> Result<Option<prost_types::Timestamp>> {
    let end = span.map(|span| SystemTime::now().checked_add(span).context("no clock shows when the key would end"));
    Ok(end.transpose()?.map(time::to_proto))
}

fn document(key: &ApiKey) -> Value {
    let ms = |moment: Option<&prost_types::Timestamp>| moment.map(time::to_unix_ms);
    json!({
        "key_id": key.key_id, "tenant_id": key.tenant_id, "name": key.name, "scopes": key.scopes,
        "state": state(key, SystemTime::now()), "created_at_ms": ms(key.created_at.as_ref()),
        "expires_at_ms": ms(key.expires_at.as_ref()), "revoked_at_ms": ms(key.revoked_at.as_ref()),
        "replaced_by": key.replaced_by,
    })
}

/// Says in a word or two whether a key works.
fn state(key: &ApiKey, now: SystemTime) -> String {
    let ended = key.expires_at.is_some_and(|end| time::from_proto(end) <= now);
    match (&key.revoked_at, &key.expires_at) {
        (Some(_), _) => "revoked".to_owned(),
        (None, Some(_)) if ended => "expired".to_owned(),
        (None, Some(end)) => format!("for {}", left(Some(end), now)),
        (None, None) => "valid".to_owned(),
    }
}

fn left(end: Option<&prost_types::Timestamp>, now: SystemTime) -> String {
    let end = end.map(|end| time::from_proto(*end).duration_since(now).unwrap_or_default());
    end.map_or_else(|| "-".to_owned(), span::short)
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_key_is_said_in_a_word() {
        let now = SystemTime::now();
        let at = |end: SystemTime| Some(time::to_proto(end));
        let later = at(now + Duration::from_hours(2) + Duration::from_secs(1));
        for (revoked_at, expires_at, word) in [
            (None, None, "valid"),
            (at(now), None, "revoked"),
            (at(now), later, "revoked"),
            (None, at(now), "expired"),
            (None, later, "for 2h00m"),
        ] {
            let key = ApiKey { revoked_at, expires_at, ..ApiKey::default() };
            assert_eq!(state(&key, now), word);
        }
        assert_eq!(document(&ApiKey::default())["expires_at_ms"], Value::Null);
    }
}
