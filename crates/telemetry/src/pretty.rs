//! Log lines for the eye: the library's, with what is known of the span around the event at their end.

use std::fmt;

use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};

use crate::Span;
use crate::fields::Fields;

/// Writes the fields of an event, then those of the spans around it.
#[derive(Debug, Default)]
pub(crate) struct WithSpan(DefaultFields);

impl<'writer> FormatFields<'writer> for WithSpan {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        self.0.format_fields(writer.by_ref(), fields)?;
        let mut known = Fields::default();
        Span::with_current(|span| span.describe(&mut known));
        for (name, value) in known.iter() {
            write!(writer, " {name}={value}")?;
        }
        Ok(())
    }
}
