//! What parameters look like. A name means the same wherever it stands, so it is said once, for every operation.

use utoipa::openapi::path::Parameter;
use utoipa::openapi::schema::{Object, Schema, SchemaFormat};
use utoipa::openapi::{KnownFormat, RefOr};

use crate::headers::name;

/// Identifiers.
const WORD: &str = "^[A-Za-z0-9_-]{3,64}$";
/// An empty header counts as one that is not there.
const WORD_OR_NOTHING: &str = "^([A-Za-z0-9_-]{3,64})?$";
const DAY: &str = r"^\d{4}-\d{2}-\d{2}$";
const KEY: &str = "^[!-~]{1,200}$";
const MODEL: &str = "^agent:[A-Za-z0-9_-]{3,64}$";

/// Adds to a parameter what its values look like.
pub(super) fn tell(path: &str, parameter: &mut RefOr<Parameter>) {
    let RefOr::T(parameter) = parameter else { return };
    let Some(RefOr::T(Schema::Object(value))) = &mut parameter.schema else { return };
    match parameter.name.as_str() {
        "id" if path.starts_with("/api/v1/tasks/") => value.format = Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)),
        "id" if path.starts_with("/v1/models/") => matching(value, MODEL),
        "id" | "agent_id" | "session_id" | "collection_id" | name::TENANT | name::AGENT | name::SESSION => {
            matching(value, WORD);
        }
        name::USER | name::CONVERSATION | name::COLLECTION => matching(value, WORD_OR_NOTHING),
        name::TIER => one_of(value, &action::Tier::ALL.map(action::Tier::as_str)),
        name::SOURCE => one_of(value, &crate::headers::SOURCES),
        "Idempotency-Key" => matching(value, KEY),
        "status" => one_of(value, &crate::tasks::STATUSES.map(|(word, _)| word)),
        "date" => matching(value, DAY),
        _ => {}
    }
}

/// Takes away what the code calls a text that is absent: no client would send it.
pub(super) fn without_empty_defaults(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::Object(object)) = schema else { return };
    for property in object.properties.values_mut() {
        if let RefOr::T(Schema::Object(value)) = property
            && value.default.as_ref().is_some_and(|default| default == "")
        {
            value.default = None;
        }
    }
}

fn matching(value: &mut Object, pattern: &str) {
    value.pattern = Some(pattern.to_owned());
}

fn one_of(value: &mut Object, words: &[&str]) {
    value.enum_values = Some(words.iter().map(|word| (*word).into()).collect());
}
