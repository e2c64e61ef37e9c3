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
    Ok(events::<S>(directives)?.or(FilterFn::new(is_traced_span as fn(&Metadata<'_>) -> bool)))
}

/// Lets spans and events from `info` up through, whatever the logs show.
pub(crate) fn traces() -> Targets {
    let quiet = NOISY.map(|target| (target, LevelFilter::OFF));
    Targets::new().with_default(Level::INFO).with_targets(quiet)
}

type Events<S> = Box<dyn Filter<S> + Send + Sync>;

/// Later directives win over earlier ones for the same target, so naming a transport makes it speak again.
fn events<S>(directives: &str) -> Result<Events<S>, Error>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let chosen = if directives.trim().is_empty() { "info" } else { directives.trim() };
    // The parser takes any other word for the name of a module, so that a misspelt level would silence everything.
    let is_level = |word: &str| word.trim().parse::<LevelFilter>().is_ok();
    let makes_sense = |part: &str| match part.rsplit_once('=') {
        _ if part.contains('[') => true,
        Some((target, level)) => !target.trim().is_empty() && !level.trim().is_empty() && is_level(level),
        None => is_level(part),
    };
    if !chosen.split(',').all(makes_sense) {
        return Err(Error::LogLevel(chosen.to_owned()));
    }
    let all: Vec<String> = NOISY.iter().map(|target| format!("{target}=warn")).collect();
    let (all, refused) = (format!("{},{chosen}", all.join(",")), || Error::LogLevel(chosen.to_owned()));
    // What names spans or fields is looked at whenever a span is entered; few need that, and nobody else pays for it.
    if chosen.contains('[') {
        let parsed = EnvFilter::builder().parse(all);
        return parsed.map(|events| Box::new(events) as Events<S>).map_err(|_| refused());
    }
    let parsed = all.parse::<Targets>();
    parsed.map(|events| Box::new(events) as Events<S>).map_err(|_| refused())
}

fn is_traced_span(metadata: &Metadata<'_>) -> bool {
    metadata.is_span()
        && *metadata.level() <= Level::INFO
        && !NOISY.iter().any(|target| metadata.target().starts_with(target))
}
