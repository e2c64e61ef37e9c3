//! What is logged, for tests that look at it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::Registry;

use crate::filter::Logged;
use crate::json::JsonLines;
use crate::warned::Warnings;
use crate::{Error, filter, start};

/// The lines that this thread logs while it lives, as JSON. Spans are made and shown to nobody.
#[derive(Debug)]
pub struct Capture {
    lines: Lines,
    _logging: DefaultGuard,
}

impl Capture {
    /// Begins, with directives as [`crate::Config::log_level`] has them.
    pub fn start(directives: &str) -> Result<Self, Error> {
        start::without_export();
        let lines = Lines::default();
        let writer = lines.clone();
        let logs = JsonLines::new(move || writer.clone(), Logged::by(directives)?);
        let subscriber = Registry::default().with(Warnings.with_filter(filter::traces())).with(logs);
        Ok(Self { lines, _logging: tracing::subscriber::set_default(subscriber) })
    }

    /// Returns what was logged until now.
    pub fn text(&self) -> String {
        let lines = self.lines.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&lines).into_owned()
    }
}

#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
