//! Reads settings: from the environment and a TOML file, with every mistake reported at once.
//!
//! A setting has one name, as in the environment: `ORCHESTRATOR_VALIDATION_CACHE_TTL`. In the file the same setting stands
//! as `validation_cache_ttl` in the section `[orchestrator]`; settings without a prefix (`REDIS_URL`) stand before the
//! first section. A table within a section joins with two underscores: `model` in `[query.llm]` is `QUERY_LLM__MODEL`. The
//! environment wins over the file. An empty variable counts as absent.

mod file;
mod reference;
mod secret;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeBounds;
use std::path::Path;

pub use reference::assert_reference;
pub use secret::Secret;
pub use value::Value;

/// The settings of a process while they are read. Reading never fails: a mistake is noted, the default is returned, and
/// [`Settings::finish`] reports everything.
#[derive(Debug, Default)]
pub struct Settings {
    environment: BTreeMap<String, String>,
    file: BTreeMap<String, file::Entry>,
    known: BTreeMap<String, Known>,
    problems: Vec<Problem>,
}

/// A setting that was asked for.
#[derive(Clone, Debug)]
struct Known {
    /// The default as it would be written; none where absence is the default.
    default: Option<String>,
    /// The value that was given, written the canonical way; none where nothing or nonsense was given.
    given: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    name: String,
    text: String,
}

/// Everything that is wrong with the settings, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    problems: Vec<Problem>,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("configuration is invalid:")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {}: {}", problem.name, problem.text))
    }
}

impl std::error::Error for Invalid {}

impl Settings {
    /// Takes the process' environment and a file. The one place that reads the environment.
    pub fn from_process(file: Option<&Path>) -> Self {
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            Some((name, value.into_string().ok()?))
        });
        Self::from_env_and_file(environment, file)
    }

    /// Takes variables and a file. A file that cannot be read or parsed is one of the mistakes.
    pub fn from_env_and_file(environment: impl IntoIterator<Item = (String, String)>, file: Option<&Path>) -> Self {
        let environment = environment.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let mut settings = Self { environment, ..Self::default() };
        if let Some(path) = file {
            match file::read(path) {
                Ok(entries) => settings.file = entries,
                Err(text) => settings.reject(&path.display().to_string(), text),
            }
        }
        settings
    }

    /// Takes a list of names and values, for tests.
    pub fn from_pairs(pairs: &[(&str, &str)]) -> Self {
        Self::from_env_and_file(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())), None)
    }

    /// Returns the value of a setting.
    pub fn get<T: Value>(&mut self, name: &str, default: T) -> T {
        self.read(name, Some(default.render()), |_| None).unwrap_or(default)
    }

    /// Returns the value of a setting that is text.
    pub fn text(&mut self, name: &str, default: &str) -> String {
        self.get(name, default.to_owned())
    }

    /// Returns the value of a setting that must lie within a range.
    pub fn get_in<T: Value + PartialOrd>(&mut self, name: &str, default: T, range: impl RangeBounds<T>) -> T {
        let outside = |value: &T| (!range.contains(value)).then(|| value::describe(&range));
        self.read(name, Some(default.render()), outside).unwrap_or(default)
    }

    /// Returns the value of a setting that may be absent.
    pub fn optional<T: Value>(&mut self, name: &str) -> Option<T> {
        self.read(name, None, |_| None)
    }

    /// Returns what one of several words stands for. `default` is one of the words.
    pub fn choose<T: Clone>(&mut self, name: &str, default: &str, options: &[(&str, T)]) -> T {
        let find = |word: &str| options.iter().find(|(option, _)| *option == word).map(|(_, value)| value.clone());
        let words = || options.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        let unknown = |word: &String| find(word).is_none().then(|| format!("is not one of {}", words()));
        let word = self.read(name, Some(default.to_owned()), unknown).unwrap_or_else(|| default.to_owned());
        find(&word).or_else(|| find(default)).expect("the default is one of the options")
    }

    /// Returns a secret: the setting itself, or the content of the file that `{name}_FILE` points to.
    pub fn secret(&mut self, name: &str) -> Option<Secret> {
        let beside = format!("{name}_FILE");
        let direct: Option<String> = self.optional(name);
        let path: Option<std::path::PathBuf> = self.optional(&beside);
        match (direct, path) {
            (Some(_), Some(_)) => {
                self.reject(&beside, format!("{name} is set as well; keep one of the two"));
                None
            }
            (Some(text), None) => Some(Secret::new(text)),
            (None, Some(path)) => match std::fs::read_to_string(&path) {
                Ok(text) => Some(Secret::new(text.trim_end())),
                Err(error) => {
                    self.reject(&beside, format!("cannot read {}: {error}", path.display()));
                    None
                }
            },
            (None, None) => None,
        }
    }

    /// Notes a mistake that a single setting does not show, e.g. two that contradict each other.
    pub fn reject(&mut self, name: &str, text: impl Into<String>) {
        self.problems.push(Problem { name: name.to_owned(), text: text.into() });
    }

    /// Ends the reading: fails with every mistake, settings in the file that nobody asked for included.
    pub fn finish(self) -> Result<(), Invalid> {
        let unknown = self.file.iter().filter(|(name, _)| !self.known.contains_key(*name)).map(|(name, entry)| {
            let text = format!("there is no such setting; the file has it as `{}`", entry.written);
            Problem { name: name.clone(), text }
        });
        let mut problems = self.problems.clone();
        problems.extend(unknown);
        problems.sort();
        // A setting that two parts of the process read is wrong once.
        problems.dedup();
        if problems.is_empty() { Ok(()) } else { Err(Invalid { problems }) }
    }

    fn read<T: Value>(
        &mut self,
        name: &str,
        default: Option<String>,
        refuse: impl FnOnce(&T) -> Option<String>,
    ) -> Option<T> {
        let from_file = self.file.get(name).map(|entry| entry.text.clone());
        let text = self.environment.get(name).cloned().or(from_file);
        let value = text.and_then(|text| {
            let parsed = T::parse(&text).and_then(|value| match refuse(&value) {
                Some(why) => Err(why),
                None => Ok(value),
            });
            parsed.map_err(|why| self.reject(name, format!("`{text}` {why}"))).ok()
        });
        let given = value.as_ref().map(Value::render);
        self.known.insert(name.to_owned(), Known { default, given });
        value
    }
}
