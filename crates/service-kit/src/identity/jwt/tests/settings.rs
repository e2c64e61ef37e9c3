use super::JwtConfig;
use crate::Settings;

fn problems(pairs: &[(&str, &str)]) -> String {
    let mut settings = Settings::from_pairs(pairs);
    JwtConfig::read(&mut settings);
    settings.finish().err().map(|invalid| invalid.to_string()).unwrap_or_default()
}

#[test]
fn a_key_without_issuer_or_audience_is_refused_by_name() {
    let (secret, url) = (("JWT_SECRET", super::SECRET), ("JWT_JWKS_URL", "https://issuer.example/jwks"));
    let (issuer, audience) = (("JWT_ISSUER", "issuer"), ("JWT_AUDIENCE", "nooble"));
    for key in [secret, url] {
        let found = problems(&[key]);
        assert!(found.contains("JWT_ISSUER: required") && found.contains("JWT_AUDIENCE: required"), "{found}");
        let found = problems(&[key, issuer]);
        assert!(!found.contains("JWT_ISSUER:") && found.contains("JWT_AUDIENCE: required"), "{found}");
        assert_eq!(problems(&[key, issuer, audience]), "");
    }
    assert_eq!(problems(&[]), "");
}

#[test]
fn a_short_secret_and_an_address_that_anybody_can_answer_are_refused() {
    let rest = [("JWT_ISSUER", "issuer"), ("JWT_AUDIENCE", "nooble")];
    let with = |name, value| problems(&[[(name, value)].as_slice(), &rest].concat());
    assert!(with("JWT_SECRET", "short").contains("JWT_SECRET: has less than 32 bytes"));
    for (url, good) in [
        ("https://issuer.example/jwks", true),
        ("http://127.0.0.1:80/jwks", true),
        ("http://[::1]/jwks", true),
        ("http://localhost/jwks", true),
        ("http://issuer.example/jwks", false),
        ("http://127.0.0.1.issuer.example/jwks", false),
        ("http://localhost.example/jwks", false),
        ("file:///etc/passwd", false),
        ("ftp://localhost/jwks", false),
    ] {
        assert_eq!(with("JWT_JWKS_URL", url).is_empty(), good, "{url}");
    }
    assert!(with("JWT_LEEWAY", "1h").contains("JWT_LEEWAY"));
}
