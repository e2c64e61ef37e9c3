use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::{Settings, assert_reference};

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn settings(environment: &[(&str, &str)], file: &Path) -> Settings {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::from_env_and_file(environment, Some(file))
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
    let file = file("redis_url = \"redis://file\"\n[orchestrator]\nvalidation_cache_ttl = 7\nworkers = 3\n");
    let mut settings = settings(&[("ORCHESTRATOR_WORKERS", "5"), ("ORCHESTRATOR_EMPTY", "")], file.path());
    assert_eq!(settings.text("REDIS_URL", "redis://default"), "redis://file");
    assert_eq!(settings.get("ORCHESTRATOR_VALIDATION_CACHE_TTL", Duration::ZERO), Duration::from_secs(7));
    assert_eq!(settings.get("ORCHESTRATOR_WORKERS", 1_u32), 5);
    assert_eq!(settings.get("ORCHESTRATOR_OTHER", 9_u32), 9);
    assert_eq!(settings.text("ORCHESTRATOR_EMPTY", "default"), "default");
    settings.finish().unwrap();
}

#[test]
fn sections_with_underscores_and_nested_tables_have_the_names_of_the_environment() {
    let file = file("[agent_management]\nport = 8003\n[query.llm]\nmodel = \"small\"\nweights = [8, 4]\n");
    let mut settings = settings(&[], file.path());
    assert_eq!(settings.get("AGENT_MANAGEMENT_PORT", 0_u16), 8003);
    assert_eq!(settings.text("QUERY_LLM__MODEL", ""), "small");
    assert_eq!(settings.get("QUERY_LLM__WEIGHTS", Vec::<u32>::new()), [8, 4]);
    settings.finish().unwrap();
}

#[test]
fn durations_are_seconds_or_have_a_unit() {
    let cases = [("300", 300_000), ("500ms", 500), ("10s", 10_000), ("5m", 300_000), ("1.5", 1500), ("2h", 7_200_000)];
    for (text, ms) in cases {
        let mut settings = Settings::from_pairs(&[("TTL", text)]);
        assert_eq!(settings.get("TTL", Duration::ZERO), Duration::from_millis(ms), "{text}");
        settings.finish().unwrap();
    }
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let file = file("redis_uri = \"x\"\n[query]\nslots = \"many\"\nnonsense = true\n");
    let pairs = [
        ("QUERY_TTL", "soon"),
        ("QUERY_TEMPERATURE", "3"),
        ("GRPC_ADDRESS", "localhost"),
        ("LOG_FORMAT", "xml"),
        ("LLM_API_KEY", "a"),
        ("LLM_API_KEY_FILE", "/b"),
        ("QUERY_FAST", "maybe"),
        ("QUERY_URL", "nowhere"),
    ];
    let mut settings = settings(&pairs, file.path());
    assert_eq!(settings.get("QUERY_SLOTS", 2_usize), 2);
    settings.get("QUERY_TTL", Duration::ZERO);
    settings.get_in("QUERY_TEMPERATURE", 0.5_f64, 0.0..=1.0);
    settings.get("GRPC_ADDRESS", SocketAddr::from(([127, 0, 0, 1], 0)));
    settings.choose("LOG_FORMAT", "json", &[("json", 1), ("pretty", 2)]);
    assert_eq!(settings.secret("LLM_API_KEY"), None);
    settings.get("QUERY_FAST", false);
    settings.get("QUERY_URL", http::Uri::from_static("http://127.0.0.1:1"));
    settings.reject("QUERY_MODEL", "required when QUERY_KIND is openai");

    let invalid = settings.finish().unwrap_err().to_string();
    let expected = [
        "configuration is invalid:",
        "  GRPC_ADDRESS: `localhost` is not an address of the form host:port with a numeric host",
        "  LLM_API_KEY_FILE: LLM_API_KEY is set as well; keep one of the two",
        "  LOG_FORMAT: `xml` is not one of json, pretty",
        "  QUERY_FAST: `maybe` is not true or false",
        "  QUERY_MODEL: required when QUERY_KIND is openai",
        "  QUERY_NONSENSE: there is no such setting; the file has it as `[query] nonsense`",
        "  QUERY_SLOTS: `many` is not a whole number",
        "  QUERY_TEMPERATURE: `3` must be at least 0 and at most 1",
        "  QUERY_TTL: `soon` is not a duration such as 300, 10s, 500ms or 5m",
        "  QUERY_URL: `nowhere` is not a URL of the form http://host:port",
        "  REDIS_URI: there is no such setting; the file has it as `redis_uri`",
    ];
    assert_eq!(invalid.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_file_that_is_absent_or_broken_is_a_mistake() {
    let absent = settings(&[], Path::new("/nonexistent/nooble.toml"));
    assert!(absent.finish().unwrap_err().to_string().contains("cannot be read"));
    let broken = file("redis_url = ");
    let broken = settings(&[], broken.path()).finish().unwrap_err().to_string();
    assert!(broken.contains("is not valid TOML"), "{broken}");
}

#[test]
fn a_secret_comes_from_a_file_and_is_never_shown() {
    let file = file("s3cret\n");
    let path = file.path().to_str().unwrap();
    let mut settings = Settings::from_pairs(&[("LLM_API_KEY_FILE", path)]);
    let secret = settings.secret("LLM_API_KEY").unwrap();
    assert_eq!(secret.expose(), "s3cret");
    assert_eq!(format!("{secret} {secret:?}"), "*** ***");
    settings.finish().unwrap();
}

#[test]
fn tiers_have_the_numbers_of_the_mission_unless_set() {
    let mut settings = Settings::from_pairs(&[("RATE_LIMIT_FREE_PER_MINUTE", "3"), ("TIMEOUT_ADVANCE", "90")]);
    let tiers = crate::tiers::read(&mut settings);
    settings.finish().unwrap();
    assert_eq!(tiers.of(action::Tier::Free).per_minute, Some(3));
    assert_eq!(tiers.of(action::Tier::Free).per_day, Some(100));
    assert_eq!(tiers.of(action::Tier::Advance).timeout, Duration::from_secs(90));
    assert_eq!(tiers.of(action::Tier::Enterprise).per_minute, None);
}

fn read(settings: &mut Settings) {
    settings.get("QUERY_TTL", Duration::from_mins(5));
    settings.optional::<String>("QUERY_MODEL");
}

#[test]
fn a_true_reference_passes() {
    assert_reference(file("[query]\nttl = \"5m\"\n# model = \"small\"\n").path(), read);
}

#[test]
#[should_panic(expected = "QUERY_MODEL is missing")]
fn a_reference_without_a_setting_fails() {
    assert_reference(file("[query]\nttl = 300\n").path(), read);
}

#[test]
#[should_panic(expected = "QUERY_TTL is `10`, the default is `300`")]
fn a_reference_with_another_default_fails() {
    assert_reference(file("[query]\nttl = 10\n# model = \"small\"\n").path(), read);
}

#[test]
#[should_panic(expected = "QUERY_OLD: there is no such setting")]
fn a_reference_with_more_settings_fails() {
    assert_reference(file("[query]\nttl = 300\nold = 1\n# model = \"small\"\n").path(), read);
}
