//! The commented settings file says what the code does.

use orchestrator::Config;
use service_kit::AdmissionConfig;
use service_kit::config::{Settings, assert_reference};

#[test]
fn the_reference_has_every_setting_with_its_default() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/config/orchestrator.toml");
    assert_reference(path, |settings| {
        AdmissionConfig::read(settings);
        let config = Config::read(settings);
        assert_eq!(config, Config::default());
    });
}

#[test]
fn a_domain_where_answers_would_be_lost_is_refused() {
    let mut settings = Settings::from_pairs(&[
        ("ORCHESTRATOR_DOMAIN_NAME", "kitchen"),
        ("ORCHESTRATOR_CALLBACK_QUEUE_PREFIX", "execution"),
        ("ORCHESTRATOR_ENABLE_ACCESS_VALIDATION", "perhaps"),
    ]);
    Config::read(&mut settings);
    let report = settings.finish().expect_err("three mistakes").to_string();
    for name in ["DOMAIN_NAME", "CALLBACK_QUEUE_PREFIX", "ENABLE_ACCESS_VALIDATION"] {
        assert!(report.contains(&format!("ORCHESTRATOR_{name}")), "{report}");
    }
}
