//! What attackers send.

use fault::{Fault as _, reason};
use serde_json::json;

use super::super::error::Error;
use super::{ISSUER, SECRET, check, claims, encode, good, in_seconds, says, signed, signed_text};

/// A token, and a part of why it is refused.
type Attack = (&'static str, String, &'static str);

fn headers() -> Vec<Attack> {
    let with = |header: serde_json::Value| signed(&header, &claims(&json!({})));
    let plain = encode(claims(&json!({})).to_string());
    let none = encode(r#"{"alg":"none"}"#);
    let body = claims(&json!({})).to_string();
    vec![
        ("none", format!("{none}.{plain}."), "it is not signed"),
        ("none with a signature", with(json!({ "alg": "none" })), "not the algorithm of its key"),
        ("None", with(json!({ "alg": "nOnE" })), "not the algorithm of its key"),
        ("no algorithm", with(json!({ "typ": "JWT" })), "`alg` is missing"),
        ("an algorithm that is no text", with(json!({ "alg": ["HS256"] })), "a text of its header"),
        ("HS384 for HS256", with(json!({ "alg": "HS384" })), "not the algorithm of its key"),
        ("RS256 for a secret", with(json!({ "alg": "RS256" })), "not the algorithm of its key"),
        ("a critical extension", with(json!({ "alg": "HS256", "crit": ["exp"], "exp": 1 })), "`crit`"),
        ("an empty crit", with(json!({ "alg": "HS256", "crit": [] })), "`crit`"),
        ("another type", with(json!({ "alg": "HS256", "typ": "dpop+jwt" })), "`typ`"),
        ("an encrypted one's type", with(json!({ "alg": "HS256", "typ": "JWE" })), "`typ`"),
        ("a long key id", with(json!({ "alg": "HS256", "kid": "k".repeat(257) })), "key is unknown"),
        ("two algorithms", signed_text(r#"{"alg":"none","alg":"HS256"}"#, &body, SECRET), "whose names differ"),
        ("a header that is a list", signed_text(r#"["HS256"]"#, &body, SECRET), "no JSON object"),
    ]
}

fn bodies() -> Vec<Attack> {
    let header = r#"{"alg":"HS256"}"#;
    let body = claims(&json!({})).to_string();
    let twice = body.replacen('{', r#"{"tenant":"other-1","#, 1);
    let good = good();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (head, _) = signed.split_once('.').unwrap();
    let raised = encode(claims(&json!({ "tenant": "other-1" })).to_string());
    let mut flipped = signature.as_bytes().to_vec();
    flipped[10] = if flipped[10] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    let not_utf8 = {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
        let text = format!("{}.{}", encode(header), encode([b'{', b'"', 0xff, b'"', b':', b'1', b'}']));
        format!("{text}.{}", encode(ring::hmac::sign(&key, text.as_bytes())))
    };
    vec![
        ("another secret", signed_text(header, &body, "another secret of the same length, more"), "signature"),
        ("a flipped bit", format!("{signed}.{flipped}"), "signature"),
        ("a cut signature", good[..good.len() - 2].to_owned(), ""),
        ("half a signature", format!("{signed}.{}", &signature[..22]), ""),
        ("no signature", format!("{signed}."), "it is not signed"),
        ("changed claims", format!("{head}.{raised}.{signature}"), "signature"),
        ("a padded signature", format!("{good}="), "base64url"),
        ("a claim that stands twice", signed_text(header, &twice, SECRET), "whose names differ"),
        ("claims that are a text", signed_text(header, "\"acme-1\"", SECRET), "no JSON object"),
        ("claims that are nothing", signed_text(header, "", SECRET), "no JSON object"),
        ("claims with something behind", signed_text(header, &format!("{body} {body}"), SECRET), "no JSON object"),
        ("claims that are not UTF-8", not_utf8, "no JSON object"),
        ("deep claims", signed_text(header, &"[".repeat(4000), SECRET), "no JSON object"),
        (
            "an oversized token",
            signed_text(header, &claims(&json!({ "x": "x".repeat(8192) })).to_string(), SECRET),
            "8 KiB",
        ),
        ("two segments", signed.to_owned(), ""),
        ("four segments", format!("{good}.{signature}"), ""),
        ("nothing", String::new(), "three segments"),
        ("dots", "..".to_owned(), ""),
    ]
}

#[tokio::test]
async fn what_attackers_send_is_refused_and_says_why() {
    assert!(check(&good()).await.is_ok());
    for (attack, token, why) in headers().into_iter().chain(bodies()) {
        let refused = check(&token).await.expect_err(attack);
        assert!(refused.to_string().contains(why), "{attack}: {refused}");
        assert_eq!(refused.failure().reason(), &reason::CREDENTIAL_INVALID, "{attack}");
    }
}

#[tokio::test]
async fn a_key_that_a_token_brings_along_is_never_used() {
    // Signed with the attacker's secret, which the header offers in every way there is.
    let theirs = "a secret of the attacker, long enough";
    let jwk = json!({ "kty": "oct", "alg": "HS256", "k": encode(theirs) });
    for header in [
        json!({ "alg": "HS256", "jwk": jwk }),
        json!({ "alg": "HS256", "jku": "https://attacker.example/jwks.json" }),
        json!({ "alg": "HS256", "x5u": "https://attacker.example/cert.pem" }),
        json!({ "alg": "HS256", "x5c": ["MIIB"] }),
        json!({ "alg": "HS256", "kid": "../../../dev/null" }),
        json!({ "alg": "HS256", "kid": "' UNION SELECT 'key' --" }),
    ] {
        let token = signed_text(&header.to_string(), &claims(&json!({})).to_string(), theirs);
        assert_eq!(check(&token).await, Err(Error::Signature), "{header}");
        // Beside the right signature they change nothing.
        assert!(check(&signed(&header, &claims(&json!({})))).await.is_ok(), "{header}");
    }
}

#[tokio::test]
async fn every_claim_that_is_required_is_missed_and_every_wrong_one_is_named() {
    let elsewhere = format!("{ISSUER}/");
    let long = vec!["agent-1"; 65];
    for (changes, claim) in [
        (json!({ "iss": null }), "iss"),
        (json!({ "iss": "https://attacker.example" }), "iss"),
        (json!({ "iss": elsewhere }), "iss"),
        (json!({ "iss": [ISSUER] }), "iss"),
        (json!({ "aud": null }), "aud"),
        (json!({ "aud": "another service" }), "aud"),
        (json!({ "aud": ["another", "service"] }), "aud"),
        (json!({ "aud": [] }), "aud"),
        (json!({ "aud": { "nooble": true } }), "aud"),
        (json!({ "exp": null }), "exp"),
        (json!({ "exp": "tomorrow" }), "exp"),
        (json!({ "exp": in_seconds(60).to_string() }), "exp"),
        (json!({ "exp": -1 }), "exp"),
        (json!({ "exp": 1e300 }), "exp"),
        (json!({ "nbf": in_seconds(120) }), "nbf"),
        (json!({ "nbf": "now" }), "nbf"),
        (json!({ "iat": "now" }), "iat"),
        (json!({ "tenant": null }), "tenant"),
        (json!({ "tenant": "" }), "tenant"),
        (json!({ "tenant": 7 }), "tenant"),
        (json!({ "tenant": "acme-1:other" }), "tenant"),
        (json!({ "tid": "other-1" }), "tid"),
        (json!({ "user": "x" }), "user"),
        (json!({ "sub": 7 }), "sub"),
        (json!({ "scope": 7 }), "scope"),
        (json!({ "scopes": ["tenant", 7] }), "scopes"),
        (json!({ "agents": "agent-1" }), "agents"),
        (json!({ "agents": ["agent-1", 7] }), "agents"),
        (json!({ "agents": ["a"] }), "agents"),
        (json!({ "agents": long }), "agents"),
        (json!({ "tier": "gold" }), "tier"),
    ] {
        match says(changes.clone()).await {
            Err(Error::Claim { claim: named, .. }) => assert_eq!(named, claim, "{changes}"),
            other => panic!("{changes}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_token_is_refused_with_any_bit_flipped_and_at_any_other_length() {
    let good = good();
    for at in 0..good.len() {
        assert!(check(&good[..at]).await.is_err(), "cut at {at}");
        for bit in 0..7 {
            let mut bytes = good.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let flipped = String::from_utf8(bytes).unwrap();
            assert!(check(&flipped).await.is_err(), "bit {bit} of {at}: {flipped}");
        }
    }
    for more in ["A", "=", ".", " ", "\0", "AAAA"] {
        assert!(check(&format!("{good}{more}")).await.is_err(), "{more:?} behind");
    }
}
