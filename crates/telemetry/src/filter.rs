//! What is logged and what is traced.

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterFn, Targets};

use crate::Error;
use crate::origin::UNSEEN;

/// Transports speak about every frame; tracing them would also trace the exporter's own calls without end.
const NOISY: [&str; 5] = ["h2", "hyper", "tower", "tonic", "opentelemetry"];

/// What the log shows: events as its directives say, and every span of ours, so that a line always has the fields of its spans.
#[derive(Clone, Debug)]
pub(crate) struct Logged(Targets);

impl Logged {
    /// Reads directives. Later ones win over earlier ones for the same target, so naming a transport makes it speak again.
    pub(crate) fn by(directives: &str) -> Result<Self, Error> {
        let chosen = if directives.trim().is_empty() { "info" } else { directives.trim() };
        // The parser takes any other word for the name of a module, so that a misspelt level would silence everything.
        let is_level = |word: &str| word.trim().parse::<LevelFilter>().is_ok();
        let makes_sense = |part: &str| match part.rsplit_once('=') {
            Some((target, level)) => !target.trim().is_empty() && is_level(level),
            None => is_level(part),
        };
        let refused = || Error::LogLevel(chosen.to_owned());
        if chosen.contains('[') || !chosen.split(',').all(makes_sense) {
            return Err(refused());
        }
        let all: Vec<String> = NOISY.iter().map(|target| format!("{target}=warn")).collect();
        format!("{},{chosen}", all.join(",")).parse().map(Self).map_err(|_| refused())
    }

    /// Tells whether it shows something.
    pub(crate) fn shows(&self, metadata: &Metadata<'_>) -> bool {
        if metadata.is_span() {
            return is_ours(metadata, Level::INFO);
        }
        self.0.would_enable(metadata.target(), metadata.level())
    }

    /// Returns the most detailed level of anything that it shows.
    pub(crate) fn most(&self) -> LevelFilter {
        let events = self.0.iter().map(|(_, level)| level).chain(self.0.default_level()).max();
        events.unwrap_or(LevelFilter::OFF).max(LevelFilter::INFO)
    }
}

/// Lets through what belongs into traces, whatever the logs show.
pub(crate) fn traces() -> FilterFn {
    FilterFn::new(is_traced as fn(&Metadata<'_>) -> bool).with_max_level_hint(LevelFilter::INFO)
}

/// Tells whether something belongs into traces: spans of traces that are kept, and what goes wrong in them. Everything else that
/// happens in them stands in the log, with their ids.
pub(crate) fn is_traced(metadata: &Metadata<'_>) -> bool {
    let least = if metadata.is_span() { Level::INFO } else { Level::WARN };
    metadata.target() != UNSEEN && is_ours(metadata, least)
}

fn is_ours(metadata: &Metadata<'_>, least: Level) -> bool {
    *metadata.level() <= least && !NOISY.iter().any(|target| metadata.target().starts_with(target))
}
