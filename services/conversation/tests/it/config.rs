//! Settings.

use conversation::Config;
use service_kit::Settings;
use service_kit::config::assert_reference;
use store::Durability;

#[test]
fn the_reference_says_what_the_code_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/config/conversation.toml");
    assert_reference(path, Config::read);
}

#[test]
fn durability_is_one_of_two_words() {
    for (word, durability) in [("fast", Durability::Fast), ("fsync", Durability::Fsync)] {
        let mut settings = Settings::from_pairs(&[("CONVERSATION_DURABILITY", word)]);
        assert_eq!(Config::read(&mut settings).durability, durability);
        settings.finish().unwrap();
    }
    let mut settings = Settings::from_pairs(&[("CONVERSATION_DURABILITY", "never")]);
    Config::read(&mut settings);
    assert!(settings.finish().unwrap_err().to_string().contains("CONVERSATION_DURABILITY"));
}
