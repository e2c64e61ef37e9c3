use service_kit::config::assert_reference;
use service_kit::{HostConfig, KitConfig, Settings};

#[test]
fn the_reference_of_the_settings_is_true() {
    let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/config/host.toml");
    assert_reference(reference, |settings| {
        KitConfig::read(settings, "test");
        HostConfig::read(settings);
    });
}

#[test]
fn a_setting_that_two_parts_read_is_wrong_once_and_a_short_key_is_wrong() {
    let mut settings = Settings::from_pairs(&[("DRAIN_GRACE", "soon"), ("IDENTITY_KEY", "short")]);
    KitConfig::read(&mut settings, "test");
    HostConfig::read(&mut settings);
    let invalid = settings.finish().unwrap_err().to_string();
    assert_eq!(invalid.matches("DRAIN_GRACE").count(), 1, "{invalid}");
    assert!(invalid.contains("IDENTITY_KEY: has less than 32 characters"), "{invalid}");
}
