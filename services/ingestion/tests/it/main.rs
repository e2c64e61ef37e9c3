//! The ingestion service from outside: its settings, documents through a real mesh.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as expected")]

mod again;
mod documents;
mod hostile;
mod mesh;
mod uploads;

use ingestion::Config;

#[test]
fn the_settings_file_says_what_the_code_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/config/ingestion.toml");
    service_kit::config::assert_reference(path, Config::read);
}
