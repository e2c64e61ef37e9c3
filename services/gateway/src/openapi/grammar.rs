//! What parameters look like. A name means the same wherever it stands, so it is said once, for every operation.

use utoipa::openapi::path::Parameter;
use utoipa::openapi::schema::{Object, Schema, SchemaFormat};
use utoipa::openapi::{KnownFormat, RefOr, Required};

use crate::headers::name;

/// Identifiers.
const WORD: &str = "^[A-Za-z0-9_-]{3,64}$";
/// What is empty counts as absent.
const WORD_OR_NOTHING: &str = "^([A-Za-z0-9_-]{3,64})?$";
const DAY: &str = r"^(\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01]))?$";
/// In quotes, as the draft has it, or without.
const KEY: &str = r#"^([!#-~][!-~]{0,199}|"[!-~]{1,200}")$"#;
const VERSION: &str = "^[ -~]{0,64}$";
const MODEL: &str = "^agent:[A-Za-z0-9_-]{3,64}$";

/// Adds to a parameter what its values look like.
pub(super) fn tell(path: &str, parameter: &mut RefOr<Parameter>) {
    let RefOr::T(parameter) = parameter else { return };
    let is_required = matches!(parameter.required, Required::True);
    let Some(RefOr::T(Schema::Object(value))) = &mut parameter.schema else { return };
    match parameter.name.as_str() {
        "id" if path.starts_with("/api/v1/tasks/") => value.format = Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)),
        "id" if path.starts_with("/v1/models/") => matching(value, MODEL),
        "id" | "session_id" | "collection_id" | name::TENANT | name::AGENT | name::SESSION => matching(value, WORD),
        "agent_id" if is_required => matching(value, WORD),
        "agent_id" | name::USER | name::CONVERSATION | name::COLLECTION => matching(value, WORD_OR_NOTHING),
        name::TIER => one_of(value, &action::Tier::ALL.map(action::Tier::as_str)),
        name::SOURCE => matching(value, &word_or_nothing(&crate::headers::SOURCES)),
        name::VERSION => matching(value, VERSION),
        "Idempotency-Key" => matching(value, KEY),
        "status" => matching(value, &word_or_nothing(&crate::tasks::STATUSES.map(|(word, _)| word))),
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

fn word_or_nothing(words: &[&str]) -> String {
    format!("^({})?$", words.join("|"))
}

fn matching(value: &mut Object, pattern: &str) {
    value.pattern = Some(pattern.to_owned());
}

fn one_of(value: &mut Object, words: &[&str]) {
    value.enum_values = Some(words.iter().map(|word| (*word).into()).collect());
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    /// What needs no saying: numbers have their bounds, and only the list knows its tokens.
    const FREE: [&str; 6] = ["page_size", "page_token", "Last-Event-ID", "X-Context-Type", "tenant_slug", "slug"];

    #[test]
    fn every_parameter_of_the_contract_says_what_it_looks_like() {
        let contract = serde_json::to_value(crate::router::contract()).unwrap();
        let operations =
            contract["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
        let parameters: Vec<&Value> =
            operations.filter_map(|operation| operation["parameters"].as_array()).flatten().collect();
        assert!(parameters.len() > 30, "{}", parameters.len());
        for parameter in parameters {
            let says = ["pattern", "enum", "format"].iter().any(|rule| parameter["schema"].get(rule).is_some());
            assert!(says || FREE.contains(&parameter["name"].as_str().unwrap()), "{parameter}");
        }
    }
}
