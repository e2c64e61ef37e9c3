//! Turns the bytes of a document into its text.
//!
//! Reading runs on threads of its own, few at a time and with a deep stack: readers of foreign formats recurse, take long,
//! and some panic on damaged files, which must end nothing but the reading. PDFs are programs that their reader runs, and
//! no bound inside of it holds them: they are read in a process of its own, which the system bounds.

mod answer;
mod child;
mod decode;
mod html;
mod pdf;
mod program;
mod reflow;
#[cfg(test)]
mod tests;
mod unpack;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Once};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::{Error, MediaType};
use answer::Asked;

pub use child::read_document;
pub use program::{Limits, ReaderProgram};

/// Stack of a reading thread; the memory is used only as deep as a document makes a reader go.
const STACK: usize = 256 << 20;
const THREAD: &str = "document-reader";
/// Longest time for reading a document on a thread. The thread itself cannot be ended.
const PATIENCE: Duration = Duration::from_mins(1);

/// Threads that read documents, a bounded number of them. Cloning shares them.
#[derive(Clone, Debug)]
pub(crate) struct Readers {
    slots: Arc<Semaphore>,
    program: Option<ReaderProgram>,
}

impl Readers {
    /// Makes readers of which at most `slots` run at a time, and of which `program` reads PDFs.
    pub(crate) fn new(slots: usize, program: Option<ReaderProgram>) -> Self {
        quiet_panics();
        Self { slots: Arc::new(Semaphore::new(slots.max(1))), program }
    }

    /// Runs work that takes the processor for long and may panic; a panic is `on_panic`.
    pub(crate) async fn run<T, F>(&self, on_panic: Error, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, Error> + Send + 'static,
    {
        on_thread(self.slot().await, on_panic, work).await
    }

    async fn slot(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.slots).acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Reads the text of a document.
    ///
    /// # Errors
    ///
    /// [`Error::Encrypted`], [`Error::Unreadable`], [`Error::Empty`]; [`Error::Io`] when the bytes cannot be had.
    pub(crate) async fn text(&self, path: PathBuf, kind: MediaType) -> Result<String, Error> {
        self.read(Asked::Text, path, kind).await
    }

    /// Checks what can be known without reading the whole text: that a PDF can be opened at all.
    pub(crate) async fn open(&self, path: PathBuf, kind: MediaType) -> Result<(), Error> {
        if kind != MediaType::Pdf {
            return Ok(());
        }
        self.read(Asked::Open, path, kind).await.map(drop)
    }

    async fn read(&self, asked: Asked, path: PathBuf, kind: MediaType) -> Result<String, Error> {
        let slot = self.slot().await;
        if let (MediaType::Pdf, Some(program)) = (kind, &self.program) {
            return program.read(asked, &path).await;
        }
        let work = move || {
            let bytes = std::fs::read(path)?;
            match asked {
                Asked::Text => text(&bytes, kind),
                Asked::Open => pdf::open(&bytes).map(|_| String::new()),
            }
        };
        let reading = on_thread(slot, Error::Unreadable(DAMAGED), work);
        tokio::time::timeout(PATIENCE, reading).await.unwrap_or(Err(Error::Unreadable(TOO_MUCH_WORK)))
    }
}

/// Runs work on a thread of its own, which gives its slot back when it ends, whether or not somebody waits.
async fn on_thread<T, F>(slot: OwnedSemaphorePermit, on_panic: Error, work: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Error> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let body = move || {
        let outcome = catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(on_panic));
        drop(slot);
        // Nobody listens when the caller was cancelled.
        let _ = reply.send(outcome);
    };
    std::thread::Builder::new().name(THREAD.to_owned()).stack_size(STACK).spawn(body).map_err(Error::Io)?;
    answer.await.map_err(|_| Error::Unreadable("reading it was given up"))?
}

const DAMAGED: &str = "the file is damaged";
const NO_PAGES: &str = "it has no pages that can be read";
const UNPACKS: &str = "it unpacks to more than can be read";
const TOO_MUCH_TEXT: &str = "it holds more text than can be read";
const TOO_MUCH_WORK: &str = "reading it takes too long or too much memory";

/// Reads the text of a document; no text at all is an error.
fn text(bytes: &[u8], kind: MediaType) -> Result<String, Error> {
    let text = match kind {
        MediaType::Pdf => pdf::text(bytes)?,
        MediaType::Html => html::text(&decode::text(bytes)?)?,
        MediaType::Markdown | MediaType::Text => decode::text(bytes)?,
    };
    if text.chars().all(|c| c.is_whitespace() || c.is_control() || c == '\u{feff}') {
        return Err(Error::Empty);
    }
    Ok(text)
}

/// Puts lines in order: no blanks at their ends, at most one empty line in a row.
fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    let mut empty = 0;
    for line in text.lines().map(str::trim_end) {
        empty = if line.is_empty() { empty + 1 } else { 0 };
        if empty > 1 || (tidy.is_empty() && line.is_empty()) {
            continue;
        }
        tidy.push_str(line);
        tidy.push('\n');
    }
    tidy
}

/// The message of a panicking reader may quote the document, and documents do not belong into logs: such panics are
/// reported by the error they become. All others are reported as before.
fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().name() != Some(THREAD) {
                report(info);
            }
        }));
    });
}
