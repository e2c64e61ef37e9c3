use query::Config;

#[test]
fn the_settings_file_says_what_the_code_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/config/query.toml");
    service_kit::config::assert_reference(path, Config::read);
}
