//! Lines of the log on their way to standard error: gathered for a moment, and written together.
//!
//! A line at a time would take every request into the kernel, and let it wait there for whoever writes at the same moment. A
//! warning is written at once, with all that came before it: it may be the last thing that the process says.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How long a line waits for company.
const MOMENT: Duration = Duration::from_millis(5);
/// Bytes that are written without waiting for more. Whoever adds to so many writes them, so that no more are held when nobody reads.
const MANY: usize = 64 * 1024;

/// Writes what is gathered. Clones share it.
#[derive(Clone)]
pub(crate) struct Gathering(Arc<Shared>);

impl std::fmt::Debug for Gathering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gathering").finish_non_exhaustive()
    }
}

struct Shared {
    gathered: Mutex<Vec<u8>>,
    news: Condvar,
    /// Whoever holds it writes, so that lines stay in their order; between two writes it is empty.
    writing: Mutex<Vec<u8>>,
    write: fn(&[u8]) -> io::Result<()>,
}

impl Gathering {
    /// Begins with standard error.
    pub(crate) fn to_stderr() -> Self {
        Self::start(|lines| io::stderr().write_all(lines))
    }

    fn start(write: fn(&[u8]) -> io::Result<()>) -> Self {
        let shared =
            Arc::new(Shared { gathered: Mutex::default(), news: Condvar::new(), writing: Mutex::default(), write });
        let gathering = Self(Arc::clone(&shared));
        let writing = move || {
            loop {
                let gathered = lock(&shared.gathered);
                drop(shared.news.wait_while(gathered, |gathered| gathered.is_empty()));
                std::thread::sleep(MOMENT);
                shared.flush();
            }
        };
        // Without it, lines are written when there are many, and at the end.
        let _ = std::thread::Builder::new().name("telemetry-lines".to_owned()).spawn(writing);
        gathering
    }

    /// Writes everything that was gathered until now.
    pub(crate) fn flush(&self) {
        self.0.flush();
    }
}

impl Shared {
    fn add(&self, line: &[u8], is_urgent: bool) {
        let mut gathered = lock(&self.gathered);
        let is_first = gathered.is_empty();
        gathered.extend_from_slice(line);
        let is_due = is_urgent || gathered.len() >= MANY;
        drop(gathered);
        if is_due {
            self.flush();
        } else if is_first {
            self.news.notify_one();
        }
    }

    fn flush(&self) {
        let mut writing = lock(&self.writing);
        std::mem::swap(&mut *writing, &mut lock(&self.gathered));
        // A log that cannot be written cannot be reported either.
        let _ = (self.write)(&writing);
        writing.clear();
    }
}

/// Lines are whole at every moment, also when somebody panicked beside them.
fn lock(lines: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes one line.
pub(crate) struct Line<'a> {
    shared: &'a Shared,
    is_urgent: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.shared.add(line, self.is_urgent);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Gathering {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { shared: &self.0, is_urgent: false }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        Line { shared: &self.0, is_urgent: *metadata.level() <= Level::WARN }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::{Duration, Instant};

    use super::*;

    /// What was written, one test at a time.
    static WRITTEN: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

    fn written() -> Vec<Vec<u8>> {
        WRITTEN.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[test]
    fn lines_are_written_together_in_their_order_and_warnings_at_once() {
        let gathering = Gathering::start(|lines| {
            WRITTEN.lock().unwrap_or_else(PoisonError::into_inner).push(lines.to_vec());
            Ok(())
        });
        gathering.0.add(b"first\n", false);
        gathering.0.add(b"second\n", false);
        gathering.0.add(b"careful\n", true);
        assert_eq!(written().concat(), b"first\nsecond\ncareful\n", "a warning takes along what came before it");
        gathering.0.add(b"later\n", false);
        let end = Instant::now() + Duration::from_secs(10);
        while !written().concat().ends_with(b"later\n") {
            assert!(Instant::now() < end, "nobody writes what was gathered");
            std::thread::yield_now();
        }
        let long = vec![b'x'; MANY];
        gathering.0.add(&long, false);
        assert!(written().concat().ends_with(&long), "many bytes are not held");
        gathering.0.add(b"last\n", false);
        gathering.flush();
        assert!(written().concat().ends_with(b"last\n"));
    }
}
