//! The test that a commented settings file says what the code does.

use std::path::Path;

use super::{Known, Settings};

/// Checks, for a test of a service, that a file of `deploy/config/` is a true reference: every setting that `read` asks for
/// stands in it with its default, a setting without a default stands in a comment (`# key = …`), and nothing else is there.
///
/// # Panics
///
/// With the list of differences.
#[track_caller]
pub fn assert_reference<T>(path: impl AsRef<Path>, read: impl FnOnce(&mut Settings) -> T) {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut settings = Settings::from_env_and_file([], Some(path));
    read(&mut settings);
    let mut differences = Vec::new();
    for (name, known) in &settings.known {
        differences.extend(difference(name, known, &text));
    }
    if let Err(invalid) = settings.finish() {
        differences.push(invalid.to_string());
    }
    assert!(differences.is_empty(), "{} differs from the code:\n  {}", path.display(), differences.join("\n  "));
}

fn difference(name: &str, known: &Known, text: &str) -> Option<String> {
    match (&known.default, &known.given) {
        (Some(default), Some(given)) if default == given => None,
        (Some(default), Some(given)) => Some(format!("{name} is `{given}`, the default is `{default}`")),
        (Some(default), None) => Some(format!("{name} is missing, the default is `{default}`")),
        (None, Some(given)) => Some(format!("{name} is `{given}` and has no default: comment it out")),
        (None, None) if is_commented(text, name) => None,
        (None, None) => Some(format!("{name} is missing; it stands in a comment, as it has no default")),
    }
}

/// Looks for `# key =` where the key is the name or what is left of it without the prefix of a section.
fn is_commented(text: &str, name: &str) -> bool {
    let keys = text.lines().filter_map(|line| {
        let (key, _) = line.trim().strip_prefix('#')?.split_once('=')?;
        Some(key.trim().to_uppercase())
    });
    keys.filter(|key| !key.is_empty()).any(|key| name == key || name.ends_with(&format!("_{key}")))
}
