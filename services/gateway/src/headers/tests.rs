use action::ContextType;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::ChatHeaders;

const GOOD: [(&str, &str); 4] = [
    ("X-Tenant-ID", "tenant-1"),
    ("X-Agent-ID", "agent_1"),
    ("X-Tenant-Tier", "professional"),
    ("X-Session-ID", "sess-1"),
];

/// The good headers, with some replaced (an empty value removes) and further ones appended.
fn headers(changes: &[(&str, &str)], appended: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    let name = |name: &str| HeaderName::try_from(name).unwrap();
    for (key, value) in GOOD.iter().chain(changes) {
        map.insert(name(key), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    for (key, _) in changes.iter().filter(|(_, value)| value.is_empty()) {
        map.remove(name(key));
    }
    for (key, value) in appended {
        map.append(name(key), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

#[track_caller]
fn refused(changes: &[(&str, &str)], appended: &[(&str, &str)], reason: &str, field: &str) {
    let failure = ChatHeaders::parse(&headers(changes, appended)).unwrap_err();
    assert_eq!((failure.reason().id, failure.field_name()), (reason, Some(field)), "{}", failure.detail());
}

#[test]
fn required_headers_are_enough() {
    let parsed = ChatHeaders::parse(&headers(&[], &[])).unwrap();
    assert_eq!(parsed.to.agent.as_str(), "agent_1");
    assert_eq!(parsed.to.context, ContextType::Agent);
    assert_eq!((parsed.to.source.as_str(), parsed.to.version.as_str()), ("", ""));
    assert!(parsed.to.user.is_none() && parsed.to.conversation.is_none() && parsed.to.collection.is_none());
}

#[test]
fn optional_headers_are_read() {
    let parsed = ChatHeaders::parse(&headers(
        &[],
        &[
            ("X-Context-Type", "collection"),
            ("X-Collection-ID", "coll-1"),
            ("X-User-ID", "user-1"),
            ("X-Conversation-ID", "conv-1"),
            ("X-Request-Source", "mobile"),
            ("X-Client-Version", "1.2.3"),
        ],
    ))
    .unwrap();
    assert_eq!(parsed.to.context, ContextType::Collection);
    assert_eq!(parsed.to.collection.unwrap().as_str(), "coll-1");
    assert_eq!(parsed.to.user.unwrap().as_str(), "user-1");
    assert_eq!(parsed.to.conversation.unwrap().as_str(), "conv-1");
    assert_eq!((parsed.to.source.as_str(), parsed.to.version.as_str()), ("mobile", "1.2.3"));
}

#[test]
fn missing_headers_are_all_named_and_the_first_is_the_field() {
    for (name, _) in GOOD {
        refused(&[(name, "")], &[], "MISSING_REQUIRED_HEADERS", name);
        refused(&[(name, "  ")], &[], "MISSING_REQUIRED_HEADERS", name);
    }
    let failure = ChatHeaders::parse(&headers(&[("X-Agent-ID", ""), ("X-Session-ID", "")], &[])).unwrap_err();
    assert_eq!(failure.field_name(), Some("X-Agent-ID"));
    assert_eq!(failure.metadata(), [("missing".to_owned(), "X-Agent-ID, X-Session-ID".to_owned())]);
    assert_eq!(failure.reason().title, "Missing required headers");
    // What is missing is told before what is wrong.
    refused(&[("X-Session-ID", ""), ("X-Tenant-ID", "a b")], &[], "MISSING_REQUIRED_HEADERS", "X-Session-ID");
}

#[test]
fn a_header_that_stands_twice_is_refused() {
    for (name, value) in GOOD {
        refused(&[], &[(name, value)], "DUPLICATE_HEADER", name);
    }
    refused(&[], &[("X-User-ID", "user-1"), ("X-User-ID", "user-2")], "DUPLICATE_HEADER", "X-User-ID");
}

#[test]
fn malformed_values_are_refused_with_the_name_of_their_header() {
    let long = "a".repeat(65);
    for value in ["ab", long.as_str(), "a b c", "tenant/1", "tenant:1", "tenänt", "a,b,c", "../etc", "<script>"] {
        refused(&[("X-Tenant-ID", value)], &[], "INVALID_HEADER", "X-Tenant-ID");
        refused(&[("X-Agent-ID", value)], &[], "INVALID_HEADER", "X-Agent-ID");
        refused(&[("X-Session-ID", value)], &[], "INVALID_HEADER", "X-Session-ID");
        refused(&[], &[("X-User-ID", value)], "INVALID_HEADER", "X-User-ID");
        refused(&[], &[("X-Conversation-ID", value)], "INVALID_HEADER", "X-Conversation-ID");
        refused(&[], &[("X-Collection-ID", value)], "INVALID_HEADER", "X-Collection-ID");
    }
    refused(&[], &[("X-Request-Source", "fax")], "INVALID_HEADER", "X-Request-Source");
    for version in [long.as_str(), "1\t2", "1.2 ä"] {
        refused(&[], &[("X-Client-Version", version)], "INVALID_HEADER", "X-Client-Version");
    }
}

#[test]
fn unknown_tiers_are_refused() {
    for tier in ["gold", "FREE", "Free", "0"] {
        refused(&[("X-Tenant-Tier", tier)], &[], "INVALID_TIER", "X-Tenant-Tier");
    }
}

#[test]
fn context_types_are_checked() {
    refused(&[], &[("X-Context-Type", "galaxy")], "INVALID_CONTEXT_TYPE", "X-Context-Type");
    refused(&[], &[("X-Context-Type", "collection")], "INVALID_CONTEXT_TYPE", "X-Collection-ID");
    refused(&[], &[("X-Context-Type", "workflow")], "CONTEXT_TYPE_UNAVAILABLE", "X-Context-Type");
}
