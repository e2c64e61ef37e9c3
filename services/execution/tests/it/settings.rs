//! The commented settings file says what the code does.

use execution::Config;
use service_kit::config::assert_reference;

#[test]
fn the_reference_has_every_setting_with_its_default() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/config/execution.toml");
    assert_reference(path, |settings| assert_eq!(Config::read(settings), Config::default()));
}
