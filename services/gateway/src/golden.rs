//! Golden files: what clients read, as files that show up in a review when it changes.

use std::path::Path;

use serde::Serialize;

/// Compares a value with `tests/golden/<name>.json`. A file that is not there yet is written, and the test fails once.
///
/// # Panics
///
/// When they differ.
#[track_caller]
pub(crate) fn check(name: &str, value: &impl Serialize) {
    let mut value = serde_json::to_value(value).expect("serializable");
    mask(&mut value);
    let found = format!("{}\n", serde_json::to_string_pretty(&value).expect("serializable"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.json"));
    let Ok(expected) = std::fs::read_to_string(&path) else {
        std::fs::write(&path, found).expect("writable");
        panic!("{} was written; look at it", path.display());
    };
    assert_eq!(found, expected, "{} differs; remove it to write it anew", path.display());
}

/// Present times differ from run to run; those of the log are part of the contract.
fn mask(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, field) in fields {
                let recent = field.as_str().is_some_and(|text| text > "2026-01-02" && text.ends_with('Z'));
                if recent && (name == "server_time" || name == "timestamp") {
                    *field = "<now>".into();
                } else {
                    mask(field);
                }
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(mask),
        _ => {}
    }
}
