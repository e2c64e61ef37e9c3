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
    refused(r#"{"type":"reload"}"#, "UNSUPPORTED_TYPE");
    refused(r#"{"type":"send","data":"m"}"#, "INVALID_FIELD");
    refused(r#"{"type":"send","data":{"request_id":7}}"#, "INVALID_FIELD");
    refused(r#"{"type":"cancel","data":{"request_id":"<b>"}}"#, "INVALID_FIELD");
    refused(r#"{"type":"subscribe","data":{"request_id":""}}"#, "INVALID_FIELD");
    let long = "x".repeat(65);
    refused(&format!(r#"{{"type":"send","data":{{"request_id":"{long}"}}}}"#), "INVALID_FIELD");
    refused(r#"{"type":"resume","seq":4}"#, "INVALID_FIELD");
    refused(r#"{"type":"resume","epoch":"e1","seq":-1}"#, "INVALID_FIELD");
    refused(r#"{"type":"ack","seq":"4"}"#, "INVALID_FIELD");
    refused(r#"{"type":"ack","seq":4,"epoch":5}"#, "INVALID_FIELD");
    refused(r#"{"type":"auth"}"#, "INVALID_FIELD");
}

#[test]
fn what_is_asked_for_keeps_its_fields_and_its_name() {
    let frame = r#"{"type":"send","data":{"request_id":"r-1.a_B","message":"m"}}"#;
    let Ok(ClientFrame::Send(asked)) = ClientFrame::parse(frame) else { panic!("not understood") };
    assert_eq!(asked.request_id.as_deref(), Some("r-1.a_B"));
    assert_eq!(asked.fields.into_iter().collect::<Vec<_>>(), [("message".to_owned(), "m".into())]);
    let named = r#"{"type":"send","request_id":"r-2","data":{"message":"m"}}"#;
    let Ok(ClientFrame::Send(named)) = ClientFrame::parse(named) else { panic!("not understood") };
    assert_eq!(named.request_id.as_deref(), Some("r-2"), "it may stand beside the data");
    let Ok(ClientFrame::Send(beside)) = ClientFrame::parse(r#"{"type":"send","message":"m"}"#) else { panic!("not") };
    assert_eq!(beside.fields["message"], "m");
}

#[test]
fn an_unknown_type_is_echoed_short_and_plain() {
    let text = format!(r#"{{"type":"<b>{}"}}"#, "x".repeat(1000));
    let error = ClientFrame::parse(&text).unwrap_err();
    assert!(error.text.len() < 160 && !error.text.contains('<'), "{}", error.text);
}
