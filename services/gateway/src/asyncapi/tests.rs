use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::DOCUMENT;
use crate::socket::frames::Kind;
use crate::socket::request;

fn document() -> Value {
    serde_json::from_str(DOCUMENT).unwrap()
}

/// Names of the messages that the gateway sends, or takes.
fn named(action: &str) -> BTreeSet<String> {
    let document = document();
    let operations = document["operations"].as_object().unwrap().values();
    let mut names = BTreeSet::new();
    for operation in operations {
        let own = (operation["action"] == action).then(|| operation["messages"].as_array().unwrap().clone());
        // What is answered is sent, too.
        let replies = (action == "send").then(|| operation["reply"]["messages"].as_array().cloned()).flatten();
        for message in own.into_iter().chain(replies).flatten() {
            let pointer = message["$ref"].as_str().unwrap().trim_start_matches('#').to_owned();
            let pointer = document.pointer(&pointer).unwrap()["$ref"].as_str().unwrap();
            let message = document.pointer(pointer.trim_start_matches('#')).unwrap();
            names.insert(message["name"].as_str().unwrap().to_owned());
        }
    }
    names
}

#[test]
fn the_json_is_the_yaml() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let yaml = std::fs::read_to_string(folder.join("../../docs/asyncapi.yaml")).unwrap();
    let expected: Value = serde_saphyr::from_str(&yaml).unwrap();
    if document() != expected {
        let json = format!("{}\n", serde_json::to_string_pretty(&expected).unwrap());
        std::fs::write(folder.join("src/asyncapi/document.json"), json).unwrap();
        panic!("document.json was written anew; look at it");
    }
}

#[test]
fn every_frame_in_the_code_stands_in_the_document_and_the_other_way_round() {
    let sent: BTreeSet<String> = Kind::ALL.into_iter().map(|kind| kind.as_str().to_owned()).collect();
    assert_eq!(named("send"), sent);
    let taken: BTreeSet<String> = request::KINDS.into_iter().map(str::to_owned).collect();
    assert_eq!(named("receive"), taken);
}
