use gateway::Config;
use service_kit::Settings;
use service_kit::config::assert_reference;

#[test]
fn the_reference_file_says_what_the_code_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/config/gateway.toml");
    assert_reference(path, Config::read);
}

#[test]
fn every_mistake_is_reported_at_once() {
    let mut settings = Settings::from_pairs(&[
        ("ORCHESTRATOR_MAX_WEBSOCKET_CONNECTIONS", "many"),
        ("ORCHESTRATOR_WEBSOCKET_PING_INTERVAL", "soon"),
        ("GATEWAY_MAX_BODY_BYTES", "1"),
        ("GATEWAY_SOCKET_FRAMES_PER_SECOND", "0"),
        ("WEBSOCKET_CONNECTIONS_FREE", "0"),
    ]);
    assert_eq!(Config::read(&mut settings), Config::default());
    let text = settings.finish().unwrap_err().to_string();
    assert_eq!(text.lines().count(), 6, "{text}");
}

#[test]
fn the_missions_names_are_read() {
    let mut settings = Settings::from_pairs(&[
        ("ORCHESTRATOR_MAX_WEBSOCKET_CONNECTIONS", "7"),
        ("ORCHESTRATOR_WEBSOCKET_PING_INTERVAL", "5"),
        ("ORCHESTRATOR_WEBSOCKET_PING_TIMEOUT", "500ms"),
        ("WEBSOCKET_CONNECTIONS_ADVANCE", "77"),
        ("GATEWAY_WEBSOCKET_CONNECTIONS_PER_USER", "3"),
    ]);
    let config = Config::read(&mut settings);
    assert_eq!(config.max_sockets, 7);
    assert_eq!((config.connections, config.connections_per_user), ([10, 77, 200, 1000], 3));
    assert_eq!(config.ping_interval.as_secs(), 5);
    assert_eq!(config.ping_timeout.as_millis(), 500);
    settings.finish().unwrap();
}
