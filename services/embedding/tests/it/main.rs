//! The embedding service from outside: its settings, its actions through a real queue.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as expected")]

mod mesh;

use embedding::Config;

#[test]
fn the_settings_file_says_what_the_code_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/config/embedding.toml");
    service_kit::config::assert_reference(path, Config::read);
}
