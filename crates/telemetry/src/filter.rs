//! What is logged and what is traced.

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterFn, Targets};
use tracing_subscriber::layer::Filter;
use tracing_subscriber::registry::LookupSpan;

use crate::Error;

/// Transports speak about every frame; tracing them would also trace the exporter's own calls without end.
const NOISY: [&str; 5] = ["h2", "hyper", "tower", "tonic", "opentelemetry"];

/// Lets events through by directive, and all spans that are traced, so that a line always has the fields of its spans.
pub(crate) fn logs<S>(directives: &str) -> Result<impl Filter<S> + use<S>, Error>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    use tracing_subscriber::filter::FilterExt as _;
    Ok(events(directives)?.or(FilterFn::new(is_traced_span as fn(&Metadata<'_>) -> bool)))
}

/// Lets spans and events from `info` up through, whatever the logs show.
pub(crate) fn traces() -> Targets {
    let quiet = NOISY.map(|target| (target, LevelFilter::OFF));
    Targets::new().with_default(Level::INFO).with_targets(quiet)
}

/// Later directives win over earlier ones for the same target, so naming a transport makes it speak again.
pub(crate) fn events(directives: &str) -> Result<EnvFilter, Error> {
    let chosen = if directives.trim().is_empty() { "info" } else { directives.trim() };
    // The parser takes any other word for the name of a module, so that a misspelt level would silence everything.
    let is_level = |part: &str| part.contains(['=', '[']) || part.trim().parse::<LevelFilter>().is_ok();
    if !chosen.split(',').all(is_level) {
        return Err(Error::LogLevel(chosen.to_owned()));
    }
    let all: Vec<String> = NOISY.iter().map(|target| format!("{target}=warn")).collect();
    let parsed = EnvFilter::builder().parse(format!("{},{chosen}", all.join(",")));
    parsed.map_err(|_| Error::LogLevel(chosen.to_owned()))
}

fn is_traced_span(metadata: &Metadata<'_>) -> bool {
    metadata.is_span()
        && *metadata.level() <= Level::INFO
        && !NOISY.iter().any(|target| metadata.target().starts_with(target))
}
