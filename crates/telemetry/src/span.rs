//! Spans: what belongs together, in the log and, if its trace is kept, in the trace.
//!
//! They are ours and not those of `tracing`, whose layers keep a registry of all spans for whoever might want to look: nine of ten requests
//! would pay for a trace that nobody sees, and the tenth for being collected twice.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry::trace;
use opentelemetry::trace::{Event, Span as _, SpanContext, Status, Tracer as _};
use opentelemetry_sdk::trace::{SdkTracer, Span as Recorded};

use crate::fields::Fields;
use crate::origin::{self, Origin};
use crate::{Value, context, hex, start};

/// What a span is to its neighbours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpanKind {
    /// Work inside a process.
    #[default]
    Internal,
    /// Answers a call.
    Server,
    /// Makes a call.
    Client,
    /// Puts work into a queue.
    Producer,
    /// Takes work out of a queue.
    Consumer,
}

impl From<SpanKind> for trace::SpanKind {
    fn from(kind: SpanKind) -> Self {
        match kind {
            SpanKind::Internal => Self::Internal,
            SpanKind::Server => Self::Server,
            SpanKind::Client => Self::Client,
            SpanKind::Producer => Self::Producer,
            SpanKind::Consumer => Self::Consumer,
        }
    }
}

thread_local! {
    static CURRENT: RefCell<Span> = const { RefCell::new(Span::none()) };
}

/// Something that begins and ends. It ends when its last clone is dropped; clones are cheap.
#[derive(Clone, Default)]
pub struct Span(Option<Arc<Inner>>);

struct Inner {
    name: &'static str,
    context: SpanContext,
    fields: Mutex<Fields>,
    /// None in a trace that nobody keeps.
    recorded: Option<Mutex<Recorded>>,
    /// Whose fields its lines have, too.
    around: Span,
}

impl Span {
    /// Begins a span. Lines of the log show `name` and `fields`, the trace `title` and the same as attributes.
    pub fn begin(
        origin: Origin,
        kind: SpanKind,
        name: &'static str,
        title: fmt::Arguments<'_>,
        fields: &[(&'static str, Value<'_>)],
    ) -> Self {
        let Some(tracer) = start::tracer() else { return Self::none() };
        let is_kept = origin.is_kept();
        let (parent, around) = origin.into_parts();
        let recorded = is_kept.then(|| record(tracer, parent.as_ref(), kind, title, fields));
        let context = match &recorded {
            Some(span) => span.span_context().clone(),
            None => origin::unseen(parent.as_ref()),
        };
        let mut log = Fields::default();
        for (name, value) in fields {
            value.log(name, &mut log);
        }
        Self(Some(Arc::new(Inner {
            name,
            context,
            fields: Mutex::new(log),
            recorded: recorded.map(Mutex::new),
            around,
        })))
    }

    /// Returns a span that is nothing: whatever is within it is within the span around it.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Returns the span that this thread is within.
    pub fn current() -> Self {
        CURRENT.try_with(|current| current.borrow().clone()).unwrap_or_default()
    }

    /// Shows the span that this thread is within; at the end of a thread there is none any more.
    pub(crate) fn with_current<T: Default>(show: impl FnOnce(&Self) -> T) -> T {
        CURRENT.try_with(|current| show(&current.borrow())).unwrap_or_default()
    }

    /// Is within it until what is returned is dropped, which must happen before anything is awaited.
    pub fn enter(&self) -> Entered {
        let mut span = self.clone();
        let before = span.exchange().then_some(span);
        Entered { before, here: PhantomData }
    }

    /// Does something within it.
    pub fn in_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        let _entered = self.enter();
        work()
    }

    /// Is within it until what is returned is dropped, like [`Span::enter`]; it lies in the thread's place meanwhile.
    pub(crate) fn lend(&mut self) -> Lent<'_> {
        let is_lent = self.exchange();
        Lent { span: self, is_lent }
    }

    /// Changes places with the span that this thread is within, unless it is nothing. Tells whether it did.
    fn exchange(&mut self) -> bool {
        self.0.is_some() && self.change_places()
    }

    fn change_places(&mut self) -> bool {
        CURRENT.try_with(|current| mem::swap(&mut *current.borrow_mut(), self)).is_ok()
    }

    /// Sets a field that was not known when it began.
    pub fn record<'a>(&self, name: &'static str, value: impl Into<Value<'a>>) {
        let Some(inner) = &self.0 else { return };
        let value = value.into();
        value.log(name, &mut lock(&inner.fields));
        if let (Some(recorded), Some(attribute)) = (&inner.recorded, value.attribute(name)) {
            lock(recorded).set_attribute(attribute);
        }
    }

    /// Marks it as failed. The reason is a stable word, never a text with contents.
    pub fn fail(&self, reason: &'static str) {
        if let Some(recorded) = self.recorded() {
            lock(recorded).set_status(Status::error(reason));
        }
    }

    /// Adds something that happened within it to the trace.
    pub(crate) fn add(&self, event: impl FnOnce() -> Event) {
        if let Some(recorded) = self.recorded() {
            let event = event();
            lock(recorded).add_event_with_timestamp(event.name, event.timestamp, event.attributes);
        }
    }

    fn recorded(&self) -> Option<&Mutex<Recorded>> {
        self.0.as_ref()?.recorded.as_ref()
    }

    /// Returns its place in its trace.
    pub(crate) fn context(&self) -> Option<&SpanContext> {
        self.0.as_ref().map(|inner| &inner.context).filter(|context| context.is_valid())
    }

    /// Returns the trace that it belongs to, as 32 lower-case hexadecimal digits.
    pub fn trace_id(&self) -> Option<String> {
        self.context().map(|context| hex::text(&context.trace_id().to_bytes()))
    }

    /// Writes what is known of it into a line of the log. What the line has already stays, as what stands nearer to the event wins.
    pub(crate) fn describe(&self, line: &mut Fields) {
        let Some(inner) = &self.0 else { return };
        if let Some(context) = self.context() {
            line.set_plain("trace_id", &hex::text(&context.trace_id().to_bytes()));
            line.set_plain("span_id", &hex::text(&context.span_id().to_bytes()));
        }
        line.set_plain("span", inner.name);
        let mut next = Some(inner);
        while let Some(inner) = next {
            line.add_missing(&lock(&inner.fields));
            next = inner.around.0.as_ref();
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Span").field(&self.0.as_ref().map(|inner| inner.name)).finish()
    }
}

/// See [`Span::enter`].
#[derive(Debug)]
#[must_use = "the span is left when it is dropped"]
pub struct Entered {
    before: Option<Span>,
    /// It belongs to its thread.
    here: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(before) = &mut self.before {
            before.change_places();
        }
    }
}

/// See [`Span::lend`].
pub(crate) struct Lent<'a> {
    span: &'a mut Span,
    is_lent: bool,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if self.is_lent {
            self.span.change_places();
        }
    }
}

/// Shows a span to OpenTelemetry.
fn record(
    tracer: &SdkTracer,
    parent: Option<&SpanContext>,
    kind: SpanKind,
    title: fmt::Arguments<'_>,
    fields: &[(&'static str, Value<'_>)],
) -> Recorded {
    // Room for what is set later, too.
    let mut attributes = Vec::with_capacity(fields.len() + 4);
    attributes.extend(fields.iter().filter_map(|(name, value)| value.attribute(name)));
    let title = title.as_str().map_or_else(|| Cow::Owned(title.to_string()), Cow::Borrowed);
    let builder = tracer.span_builder(title).with_kind(kind.into()).with_attributes(attributes);
    tracer.build_with_context(builder, &context::below(parent))
}

/// Whoever panicked left it whole: fields are added one by one.
fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
