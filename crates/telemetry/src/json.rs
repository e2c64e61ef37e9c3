//! Log lines as JSON: one flat object a line, with the trace and the fields of all spans around the event.

use std::io::Write as _;

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::Context;

use crate::fields::Fields;
use crate::filter::Logged;
use crate::{Span, filter};

/// Writes events. What it shows it decides itself: a filter of the library's around it would be asked for every event.
pub(crate) struct JsonLines<W> {
    writer: W,
    logged: Logged,
}

impl<W> JsonLines<W> {
    pub(crate) fn new(writer: W, logged: Logged) -> Self {
        Self { writer, logged }
    }

    /// Tells whether the log or the traces want something.
    fn is_wanted(&self, metadata: &Metadata<'_>) -> bool {
        self.logged.shows(metadata) || filter::is_traced(metadata)
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber,
    W: for<'a> MakeWriter<'a> + 'static,
{
    /// Says no only to what nobody wants: what a layer without a filter refuses is refused for all.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.is_wanted(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.is_wanted(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.logged.most())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if !self.logged.shows(event.metadata()) {
            return;
        }
        let mut line = Fields::default();
        line.set_plain("timestamp", &now());
        line.set_plain("level", event.metadata().level().as_str());
        line.set_plain("target", event.metadata().target());
        event.record(&mut line);
        Span::with_current(|span| span.describe(&mut line));
        // A log that cannot be written cannot be reported either.
        let _ = self.writer.make_writer_for(event.metadata()).write_all(&line.render());
    }
}

fn now() -> String {
    let mut text = String::with_capacity(32);
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}
