//! A settings file, flattened to the names of the environment.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Value;

/// One setting of the file.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The value as the environment would have it.
    pub(super) text: String,
    /// Where it stands, e.g. `[orchestrator] validation_cache_ttl`.
    pub(super) written: String,
}

/// Reads a file. The error says what is wrong with it, for a person.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Entry>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| format!("is not valid TOML: {error}"))?;
    let mut entries = BTreeMap::new();
    for (key, value) in &table {
        match value {
            Value::Table(section) => section_entries(section, &key.to_uppercase(), "_", key, &mut entries)?,
            _ => add(&mut entries, key.to_uppercase(), value, key)?,
        }
    }
    Ok(entries)
}

fn section_entries(
    table: &toml::Table,
    prefix: &str,
    joint: &str,
    section: &str,
    entries: &mut BTreeMap<String, Entry>,
) -> Result<(), String> {
    for (key, value) in table {
        let name = format!("{prefix}{joint}{}", key.to_uppercase());
        match value {
            Value::Table(inner) => section_entries(inner, &name, "__", &format!("{section}.{key}"), entries)?,
            _ => add(entries, name, value, &format!("[{section}] {key}"))?,
        }
    }
    Ok(())
}

fn add(entries: &mut BTreeMap<String, Entry>, name: String, value: &Value, written: &str) -> Result<(), String> {
    let text = plain(value).ok_or_else(|| format!("`{written}` is neither a plain value nor a list of them"))?;
    match entries.insert(name, Entry { text, written: written.to_owned() }) {
        Some(earlier) => Err(format!("`{written}` and `{}` are the same setting", earlier.written)),
        None => Ok(()),
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        Value::Array(items) => items.iter().map(plain).collect::<Option<Vec<_>>>().map(|items| items.join(",")),
        Value::Datetime(_) | Value::Table(_) => None,
    }
}
