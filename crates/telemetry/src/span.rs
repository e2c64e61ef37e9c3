//! Spans: what belongs together, in the log and, if its trace is kept, in the trace.
//!
//! They are ours and not those of `tracing`, whose layers keep a registry of all spans for whoever might want to look: nine of ten requests
//! would pay for a trace that nobody sees, and the tenth for being collected twice.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use opentelemetry::trace::SpanContext;

use crate::export::{Event, Record};
use crate::fields::Fields;
use crate::origin::Origin;
use crate::{Value, hex, start};

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
    record: Option<Mutex<Record>>,
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
        if !start::makes_spans() {
            return Self::none();
        }
        let outbox = if origin.is_kept() { start::outbox() } else { None };
        let (context, parent, around) = origin.into_parts();
        let mut record = outbox.map(|to| Record::begin(to, &context, parent.as_ref(), kind, title, SystemTime::now()));
        let mut log = Fields::default();
        for (name, value) in fields {
            value.log(name, &mut log);
            if let Some(record) = &mut record {
                record.set(name, value);
            }
        }
        Self(Some(Arc::new(Inner { name, context, fields: Mutex::new(log), record: record.map(Mutex::new), around })))
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
        if let Some(record) = &inner.record {
            lock(record).set(name, &value);
        }
    }

    /// Marks it as failed. The reason is a stable word, never a text with contents.
    pub fn fail(&self, reason: &'static str) {
        if let Some(record) = self.recorded() {
            lock(record).fail(reason);
        }
    }

    /// Adds something that happened within it to the trace.
    pub(crate) fn add(&self, event: impl FnOnce() -> Event) {
        if let Some(record) = self.recorded() {
            let event = event();
            lock(record).add(&event);
        }
    }

    fn recorded(&self) -> Option<&Mutex<Record>> {
        self.0.as_ref()?.record.as_ref()
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

/// Whoever panicked left it whole: fields are added one by one.
fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
