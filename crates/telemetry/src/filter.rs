//! What is logged and what is traced.

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterFn, Targets};

use crate::Error;

/// Transports speak about every frame; telling of them in traces would tell of the exporter's own calls without end.
const NOISY: [&str; 5] = ["h2", "hyper", "tower", "tonic", "opentelemetry"];

/// What the log shows: events as its directives say. Spans of `tracing` are nobody's: ours are [`crate::Span`].
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
        metadata.is_event() && self.0.would_enable(metadata.target(), metadata.level())
    }

    /// Returns the most detailed level of anything that it or the traces want.
    pub(crate) fn most(&self) -> LevelFilter {
        let events = self.0.iter().map(|(_, level)| level).chain(self.0.default_level()).max();
        events.unwrap_or(LevelFilter::OFF).max(LevelFilter::WARN)
    }
}

/// Lets through what belongs into traces, whatever the logs show.
pub(crate) fn traces() -> FilterFn {
    FilterFn::new(is_traced as fn(&Metadata<'_>) -> bool).with_max_level_hint(LevelFilter::WARN)
}

/// Tells whether an event belongs into traces: what goes wrong. Everything else that happens stands in the log, with their ids.
pub(crate) fn is_traced(metadata: &Metadata<'_>) -> bool {
    let is_ours = !NOISY.iter().any(|target| metadata.target().starts_with(target));
    metadata.is_event() && is_ours && *metadata.level() <= Level::WARN
}
