//! Settings.

use management::Config;
use service_kit::Settings;
use service_kit::config::assert_reference;

#[test]
fn the_reference_says_what_the_code_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/config/management.toml");
    assert_reference(path, Config::read);
}

#[test]
fn a_pepper_that_can_be_guessed_is_refused() {
    let mut settings = Settings::from_pairs(&[("AGENT_MANAGEMENT_KEY_PEPPER", "short")]);
    Config::read(&mut settings);
    let invalid = settings.finish().unwrap_err().to_string();
    assert!(invalid.contains("AGENT_MANAGEMENT_KEY_PEPPER") && !invalid.contains("short"), "{invalid}");
}

#[test]
fn debug_does_not_show_the_pepper() {
    let pepper = "0123456789abcdef0123456789abcdef";
    let mut settings = Settings::from_pairs(&[("AGENT_MANAGEMENT_KEY_PEPPER", pepper)]);
    let config = Config::read(&mut settings);
    settings.finish().unwrap();
    assert!(!format!("{config:?}").contains(pepper));
}
