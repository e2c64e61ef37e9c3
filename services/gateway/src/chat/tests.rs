use serde_json::{Value, json};

use super::ChatBody;

fn parse(body: Value) -> Result<ChatBody, (String, Option<String>)> {
    let Value::Object(fields) = body else { panic!("not an object") };
    ChatBody::parse(fields).map_err(|failure| (failure.reason().id.to_owned(), failure.field_name().map(str::to_owned)))
}

#[track_caller]
fn refused(body: Value, field: &str) {
    assert_eq!(parse(body).unwrap_err(), ("INVALID_FIELD".to_owned(), Some(field.to_owned())));
}

#[test]
fn a_message_is_enough_and_unknown_fields_are_passed_over() {
    let body = parse(json!({ "message": "hello", "context": { "x": 1 }, "stream": true })).unwrap();
    assert_eq!((body.0.message.as_str(), body.0.message_type.as_str(), body.0.max_iterations), ("hello", "text", 0));
}

#[test]
fn a_message_has_1_to_4000_characters() {
    assert!(parse(json!({ "message": "ß".repeat(4000) })).is_ok());
    refused(json!({ "message": "a".repeat(4001) }), "message");
    refused(json!({ "message": "" }), "message");
    refused(json!({ "message": " \n\t" }), "message");
    refused(json!({ "message": null }), "message");
    refused(json!({ "message": 5 }), "message");
    refused(json!({}), "message");
}

#[test]
fn other_fields_are_checked() {
    let body = json!({ "message": "m", "user_info": { "name": "Ana", "age": 30, "vip": true, "x": null }, "max_iterations": 2 });
    let body = parse(body).unwrap();
    assert_eq!(body.0.user_info.len(), 3);
    assert_eq!(body.0.user_info["age"], "30");
    assert_eq!(body.0.max_iterations, 2);
    refused(json!({ "message": "m", "user_info": [] }), "user_info");
    refused(json!({ "message": "m", "user_info": { "deep": {} } }), "user_info");
    refused(json!({ "message": "m", "max_iterations": 0 }), "max_iterations");
    refused(json!({ "message": "m", "max_iterations": -1 }), "max_iterations");
    refused(json!({ "message": "m", "message_type": 7 }), "message_type");
    refused(json!({ "message": "m", "message_type": "x".repeat(65) }), "message_type");
}

#[test]
fn what_the_orchestrator_would_refuse_is_refused_here() {
    refused(json!({ "message": "m", "message_type": "image" }), "message_type");
    refused(json!({ "message": "m", "user_info": { "": "nobody" } }), "user_info");
    refused(json!({ "message": "m", "user_info": { "x".repeat(65): 1 } }), "user_info");
    refused(json!({ "message": "m", "user_info": { "name": "x".repeat(513) } }), "user_info");
    let facts = |count: u32| (0..count).map(|n| (n.to_string(), json!(n))).collect::<serde_json::Map<_, _>>();
    assert!(parse(json!({ "message": "m", "user_info": facts(32) })).is_ok());
    refused(json!({ "message": "m", "user_info": facts(33) }), "user_info");
}
