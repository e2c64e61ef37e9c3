//! Making tokens with the shared secret, for operators and backends that share it.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use action::{AgentId, TenantId, Tier, UserId};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::JwtConfig;
use crate::config::Secret;

/// What a token shall say.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Tenant that it is for.
    pub tenant: TenantId,
    /// Person who will present it.
    pub user: Option<UserId>,
    /// The only agents that may be used; none for all of the tenant's.
    pub agents: Option<BTreeSet<AgentId>>,
    /// What it asserts about the tenant's tier.
    pub tier: Option<Tier>,
    /// How long it lasts.
    pub ttl: Duration,
}

/// Makes a token signed with `JWT_SECRET`, HS256; none when the settings lack the secret, the issuer or the audience.
pub fn mint(config: &JwtConfig, grant: &Grant) -> Option<Secret> {
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = SystemTime::now();
    let mut claims = Map::new();
    let mut say = |claim: &str, value: Value| claims.insert(claim.to_owned(), value);
    say("iss", json!(config.issuer.as_ref()?));
    say("aud", json!(config.audience.as_ref()?));
    say("iat", json!(seconds(now)));
    say("exp", json!(seconds(now.checked_add(grant.ttl)?)));
    say("jti", json!(Uuid::new_v4().to_string()));
    say("tenant", json!(grant.tenant.as_str()));
    if let Some(user) = &grant.user {
        say("sub", json!(user.as_str()));
    }
    if let Some(agents) = &grant.agents {
        say("agents", agents.iter().map(AgentId::as_str).collect());
    }
    if let Some(tier) = grant.tier {
        say("tier", json!(tier.as_str()));
    }
    Some(sign(config.secret.as_ref()?, &json!({ "alg": "HS256", "typ": "JWT" }), &Value::Object(claims)))
}

fn sign(secret: &Secret, header: &Value, claims: &Value) -> Secret {
    let segment = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", segment(header), segment(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
    Secret::new(format!("{signed}.{signature}"))
}
