mod attacks;
mod claims;
mod keys;
mod settings;
mod vectors;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

use super::error::Error;
use super::{JwtConfig, Proof, Tokens};
use crate::{Secret, Tasks};

const SECRET: &str = "a secret that nobody guesses in a hurry";
const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "nooble";

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn config() -> JwtConfig {
    JwtConfig::with_secret(Secret::new(SECRET), ISSUER, AUDIENCE)
}

fn tokens(config: &JwtConfig) -> Tokens {
    Tokens::new(config, &Tasks::default()).unwrap()
}

fn in_seconds(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() + seconds
}

/// Claims that are accepted, with some replaced; null takes one away.
fn claims(changes: &Value) -> Value {
    let mut claims = json!({ "iss": ISSUER, "aud": AUDIENCE, "exp": in_seconds(60), "tenant": "acme-1" });
    for (claim, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(claim);
        } else {
            claims[claim] = value.clone();
        }
    }
    claims
}

/// Signs texts as they are with HMAC-SHA256.
fn signed_text(header: &str, claims: &str, secret: &str) -> String {
    let signed = format!("{}.{}", encode(header), encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("{signed}.{}", encode(hmac::sign(&key, signed.as_bytes())))
}

fn signed(header: &Value, claims: &Value) -> String {
    signed_text(&header.to_string(), &claims.to_string(), SECRET)
}

fn good() -> String {
    signed(&json!({ "alg": "HS256", "typ": "JWT" }), &claims(&json!({})))
}

async fn check(token: &str) -> Result<Proof, Error> {
    tokens(&config()).verify_at(token, SystemTime::now()).await
}

async fn says(changes: Value) -> Result<Proof, Error> {
    check(&signed(&json!({ "alg": "HS256" }), &claims(&changes))).await
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_mins(minutes)
}
