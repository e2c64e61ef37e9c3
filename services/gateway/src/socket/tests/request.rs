use crate::socket::Position;
use crate::socket::request::ClientFrame;

#[track_caller]
fn refused(text: &str, code: &str) {
    assert_eq!(ClientFrame::parse(text).unwrap_err().code, code, "{text}");
}

#[test]
fn frames_are_understood_with_their_fields_beside_the_type_or_in_data() {
    assert_eq!(ClientFrame::parse(r#"{"type":"ping"}"#), Ok(ClientFrame::Ping));
    let position = Position { epoch: "e1".to_owned(), seq: 4 };
    assert_eq!(
        ClientFrame::parse(r#"{"type":"resume","epoch":"e1","seq":4}"#),
        Ok(ClientFrame::Resume(position.clone()))
    );
    assert_eq!(
        ClientFrame::parse(r#"{"type":"resume","data":{"epoch":"e1","seq":4}}"#),
        Ok(ClientFrame::Resume(position))
    );
    assert_eq!(ClientFrame::parse(r#"{"type":"ack","seq":4}"#), Ok(ClientFrame::Ack { epoch: None, seq: 4 }));
    let ack = ClientFrame::Ack { epoch: Some("e1".to_owned()), seq: 4 };
    assert_eq!(ClientFrame::parse(r#"{"type":"ack","seq":4,"epoch":"e1"}"#), Ok(ack));
    assert!(matches!(ClientFrame::parse(r#"{"type":"auth","token":"nbl_a_b"}"#), Ok(ClientFrame::Auth(_))));
}

#[test]
fn what_is_not_understood_is_named() {
    refused("{", "INVALID_JSON");
    refused("[]", "INVALID_JSON");
    refused("\"ping\"", "INVALID_JSON");
    refused(r#"{"type":7}"#, "INVALID_JSON");
    refused(r#"{"type":"subscribe"}"#, "UNSUPPORTED_TYPE");
    refused(r#"{"type":"send","message":"m"}"#, "UNSUPPORTED_TYPE");
    refused(r#"{"type":"cancel"}"#, "UNSUPPORTED_TYPE");
    refused(r#"{"type":"resume","seq":4}"#, "INVALID_FIELD");
    refused(r#"{"type":"resume","epoch":"e1","seq":-1}"#, "INVALID_FIELD");
    refused(r#"{"type":"ack","seq":"4"}"#, "INVALID_FIELD");
    refused(r#"{"type":"auth"}"#, "INVALID_FIELD");
}

#[test]
fn an_unknown_type_is_echoed_short_and_plain() {
    let text = format!(r#"{{"type":"<b>{}"}}"#, "x".repeat(1000));
    let error = ClientFrame::parse(&text).unwrap_err();
    assert!(error.text.len() < 120 && !error.text.contains('<'), "{}", error.text);
}
