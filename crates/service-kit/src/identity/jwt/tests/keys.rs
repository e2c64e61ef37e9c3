//! Keys of an issuer, over HTTP.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures::future::join_all;
use http::StatusCode;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};
use testkit::eventually;

use super::super::error::Error;
use super::super::{JwksConfig, JwtConfig, Proof, Tokens};
use super::{AUDIENCE, ISSUER, SECRET, claims, encode, signed_text, tokens};

/// Signs with a key of each kind.
struct Keys {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

impl Keys {
    fn new() -> Self {
        let random = SystemRandom::new();
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        Self {
            rsa: RsaKeyPair::from_pkcs8(include_bytes!("rsa.pk8")).unwrap(),
            ec: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.as_ref(), &random).unwrap(),
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
        }
    }

    fn sign(&self, algorithm: &str, signed: &str) -> Vec<u8> {
        let (random, signed) = (SystemRandom::new(), signed.as_bytes());
        match algorithm {
            "RS256" => {
                let mut signature = vec![0; self.rsa.public().modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA256, &random, signed, &mut signature).unwrap();
                signature
            }
            "ES256" => self.ec.sign(&random, signed).unwrap().as_ref().to_vec(),
            _ => self.ed.sign(signed).as_ref().to_vec(),
        }
    }

    /// A token of the key `kid`, which says that it is of an algorithm.
    fn token(&self, kid: &str, key: &str, says: &str) -> String {
        self.token_with(kid, key, says, &claims(&json!({})))
    }

    fn token_with(&self, kid: &str, key: &str, says: &str, claims: &Value) -> String {
        let header = json!({ "alg": says, "kid": kid });
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        format!("{signed}.{}", encode(self.sign(key, &signed)))
    }

    fn set(&self) -> Value {
        let rsa = self.rsa.public();
        let rsa: ring::rsa::PublicKeyComponents<Vec<u8>> = rsa.into();
        let point = self.ec.public_key().as_ref();
        json!({ "keys": [
            { "kty": "RSA", "kid": "rsa", "use": "sig", "n": encode(rsa.n), "e": encode(rsa.e) },
            { "kty": "EC", "kid": "ec", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..]) },
            { "kty": "OKP", "kid": "ed", "crv": "Ed25519", "alg": "EdDSA", "x": encode(self.ed.public_key()) },
            { "kty": "oct", "kid": "oct", "alg": "HS256", "k": encode(SECRET) },
            { "kty": "RSA", "kid": "enc", "use": "enc", "n": encode([1; 256]), "e": "AQAB" },
            { "kty": "RSA", "kid": "small", "n": encode([1; 128]), "e": "AQAB" },
            { "kty": "EC", "kid": "cut", "crv": "P-256", "x": "AA", "y": "AA" },
            { "kty": "of the future", "kid": "future" },
            "no key",
        ]})
    }
}

/// An issuer that counts how often it is asked.
#[derive(Clone, Default)]
struct Issuer {
    set: Arc<Mutex<Value>>,
    asked: Arc<AtomicUsize>,
    away: Arc<AtomicBool>,
    /// Sends whoever asks to another address.
    redirects: Arc<AtomicBool>,
}

impl Issuer {
    async fn serve(&self, set: Value) -> String {
        *self.set.lock().unwrap() = set;
        let issuer = self.clone();
        let answer = move || {
            let issuer = issuer.clone();
            async move {
                issuer.asked.fetch_add(1, Ordering::SeqCst);
                let moved = issuer.redirects.load(Ordering::SeqCst);
                let status = match issuer.away.load(Ordering::SeqCst) {
                    true => StatusCode::BAD_GATEWAY,
                    false if moved => StatusCode::FOUND,
                    false => StatusCode::OK,
                };
                (status, [("location", "/moved")], issuer.set.lock().unwrap().to_string())
            }
        };
        let set = self.set.clone();
        let moved = move || async move { set.lock().unwrap().to_string() };
        let router =
            axum::Router::new().route("/jwks", axum::routing::get(answer)).route("/moved", axum::routing::get(moved));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}/jwks")
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn config(url: &str, jwks: JwksConfig) -> JwtConfig {
    JwtConfig {
        jwks_url: Some(url.parse().unwrap()),
        issuer: Some(ISSUER.to_owned()),
        audience: Some(AUDIENCE.to_owned()),
        jwks,
        ..JwtConfig::default()
    }
}

async fn check(tokens: &Tokens, token: &str) -> Result<Proof, Error> {
    tokens.verify_at(token, SystemTime::now()).await
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[tokio::test]
async fn tokens_of_every_kind_are_accepted_and_none_under_another_algorithm() {
    let (keys, issuer) = (Keys::new(), Issuer::default());
    let checker = tokens(&config(&issuer.serve(keys.set()).await, JwksConfig::default()));
    for (kid, algorithm) in [("rsa", "RS256"), ("ec", "ES256"), ("ed", "EdDSA"), ("ed", "Ed25519")] {
        assert!(check(&checker, &keys.token(kid, algorithm, algorithm)).await.is_ok(), "{algorithm}");
        for says in ["none", "HS256", "RS256", "PS256", "RS512", "ES256", "ES384", "EdDSA"] {
            if says != algorithm && kid != "ed" {
                let refused = check(&checker, &keys.token(kid, algorithm, says)).await.unwrap_err();
                assert_eq!(refused, Error::Header("`alg` is not the algorithm of its key"), "{says} with {kid}");
            }
        }
    }
    // The signature of one key beside the name of another.
    assert_eq!(
        check(&checker, &keys.token("ec", "ES256", "RS256")).await.unwrap_err().to_string(),
        "the token's header is not accepted: `alg` is not the algorithm of its key"
    );
    assert_eq!(check(&checker, &keys.token("rsa", "ES256", "RS256")).await, Err(Error::Signature));
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn a_public_key_is_no_secret_and_a_published_secret_is_no_key() {
    let (keys, issuer) = (Keys::new(), Issuer::default());
    let set = keys.set();
    let both = JwtConfig {
        secret: Some(crate::Secret::new(SECRET)),
        ..config(&issuer.serve(set.clone()).await, JwksConfig::default())
    };
    let body = claims(&json!({})).to_string();
    for checker in [tokens(&both), tokens(&JwtConfig { secret: None, ..both.clone() })] {
        // HS256 with what everybody can fetch.
        let public = set["keys"][0]["n"].as_str().unwrap();
        let token = signed_text(r#"{"alg":"HS256","kid":"rsa"}"#, &body, public);
        assert!(matches!(check(&checker, &token).await, Err(Error::Header(_))));
        for kid in ["oct", "enc", "small", "cut", "future"] {
            let token = signed_text(&json!({ "alg": "HS256", "kid": kid }).to_string(), &body, SECRET);
            assert_eq!(check(&checker, &token).await, Err(Error::UnknownKey), "{kid}");
        }
    }
    let token = signed_text(r#"{"alg":"HS256"}"#, &body, SECRET);
    assert!(check(&tokens(&both), &token).await.is_ok(), "a token without a key id is checked with the secret");
    let without = tokens(&JwtConfig { secret: None, ..both });
    assert_eq!(check(&without, &token).await, Err(Error::UnknownKey), "of several keys none is guessed");
}

#[tokio::test]
async fn ten_thousand_unknown_keys_cause_one_fetch_in_a_cooldown() {
    let (keys, issuer) = (Keys::new(), Issuer::default());
    let cooldown = ms(60_000);
    let checker = tokens(&config(&issuer.serve(keys.set()).await, JwksConfig { cooldown, ..JwksConfig::default() }));
    let random = (0..10_000).map(|number| keys.token(&format!("random-{number}"), "EdDSA", "EdDSA"));
    let random: Vec<String> = random.collect();
    for some in random.chunks(500) {
        for refused in join_all(some.iter().map(|token| check(&checker, token))).await {
            assert_eq!(refused, Err(Error::UnknownKey));
        }
    }
    assert_eq!(issuer.asked(), 1);
    assert!(check(&checker, &keys.token("ed", "EdDSA", "EdDSA")).await.is_ok());
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn callers_who_come_first_at_once_cause_one_fetch() {
    let (keys, issuer) = (Keys::new(), Issuer::default());
    let checker = tokens(&config(&issuer.serve(keys.set()).await, JwksConfig::default()));
    let token = keys.token("ec", "ES256", "ES256");
    let all = join_all((0..50).map(|_| check(&checker, &token))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn a_new_key_is_found_after_the_cooldown_and_an_unknown_one_is_not_asked_for_again() {
    let (old, new, issuer) = (Keys::new(), Keys::new(), Issuer::default());
    let jwks = JwksConfig { cooldown: ms(50), negative: ms(60_000), ..JwksConfig::default() };
    let checker = tokens(&config(&issuer.serve(old.set()).await, jwks));
    assert!(check(&checker, &old.token("ed", "EdDSA", "EdDSA")).await.is_ok());
    let mut set = new.set();
    set["keys"][2]["kid"] = json!("ed-2");
    *issuer.set.lock().unwrap() = set;
    let fresh = new.token("ed-2", "EdDSA", "EdDSA");
    eventually(Duration::from_secs(5), || async { check(&checker, &fresh).await.is_ok() }).await;
    // A key that was taken away is gone with the next fetch.
    assert!(check(&checker, &old.token("ed", "EdDSA", "EdDSA")).await.is_err());
    let unknown = new.token("never", "EdDSA", "EdDSA");
    let asked = issuer.asked();
    eventually(Duration::from_secs(5), || async {
        assert!(check(&checker, &unknown).await.is_err());
        issuer.asked() > asked
    })
    .await;
    let asked = issuer.asked();
    tokio::time::sleep(ms(120)).await;
    assert_eq!(check(&checker, &unknown).await, Err(Error::UnknownKey));
    assert_eq!(issuer.asked(), asked, "it stays unknown without another question");
}

#[tokio::test]
async fn keys_outlive_their_issuer_for_a_while_and_no_longer() {
    let (keys, issuer) = (Keys::new(), Issuer::default());
    let jwks = JwksConfig { refresh: ms(50), cooldown: ms(50), stale: ms(1500), ..JwksConfig::default() };
    let checker = tokens(&config(&issuer.serve(keys.set()).await, jwks));
    let token = keys.token("ed", "EdDSA", "EdDSA");
    assert!(check(&checker, &token).await.is_ok());
    issuer.away.store(true, Ordering::SeqCst);
    let asked = issuer.asked();
    eventually(Duration::from_secs(5), || async {
        assert!(check(&checker, &token).await.is_ok());
        issuer.asked() > asked
    })
    .await;
    eventually(Duration::from_secs(5), || async { check(&checker, &token).await == Err(Error::Away) }).await;
    issuer.away.store(false, Ordering::SeqCst);
    eventually(Duration::from_secs(5), || async { check(&checker, &token).await.is_ok() }).await;
}

#[tokio::test]
async fn a_new_key_of_an_issuer_that_is_away_is_not_known_rather_than_wrong() {
    let (old, new, issuer) = (Keys::new(), Keys::new(), Issuer::default());
    let jwks = JwksConfig { cooldown: ms(50), ..JwksConfig::default() };
    let checker = tokens(&config(&issuer.serve(old.set()).await, jwks));
    assert!(check(&checker, &old.token("ed", "EdDSA", "EdDSA")).await.is_ok());
    let mut set = new.set();
    set["keys"][2]["kid"] = json!("ed-2");
    *issuer.set.lock().unwrap() = set;
    issuer.away.store(true, Ordering::SeqCst);
    let fresh = new.token("ed-2", "EdDSA", "EdDSA");
    eventually(Duration::from_secs(5), || async { check(&checker, &fresh).await == Err(Error::Away) }).await;
    assert!(check(&checker, &old.token("ed", "EdDSA", "EdDSA")).await.is_ok(), "what is known is used on");
    issuer.away.store(false, Ordering::SeqCst);
    eventually(Duration::from_secs(5), || async { check(&checker, &fresh).await.is_ok() }).await;
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_let_nobody_in() {
    let (keys, issuer) = (Keys::new(), Issuer::default());
    let url = issuer.serve(keys.set()).await;
    let token = keys.token("ed", "EdDSA", "EdDSA");
    let fresh = || tokens(&config(&url, JwksConfig::default()));
    issuer.redirects.store(true, Ordering::SeqCst);
    assert_eq!(check(&fresh(), &token).await, Err(Error::Away), "nobody is sent elsewhere for keys");
    issuer.redirects.store(false, Ordering::SeqCst);
    *issuer.set.lock().unwrap() = json!({ "keys": [], "filler": "x".repeat(300_000) });
    assert_eq!(check(&fresh(), &token).await, Err(Error::Away), "an answer without end is not read");
    *issuer.set.lock().unwrap() = json!("no keys");
    assert_eq!(check(&fresh(), &token).await, Err(Error::Away));
    let nowhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let checker = tokens(&config(&format!("http://{nowhere}/jwks"), JwksConfig::default()));
    assert_eq!(check(&checker, &token).await, Err(Error::Away));
    let over = keys.token_with("ed", "EdDSA", "EdDSA", &claims(&json!({ "exp": super::in_seconds(-60) })));
    assert_eq!(check(&checker, &over).await, Err(Error::Expired), "nobody is told to come again with it");
}
