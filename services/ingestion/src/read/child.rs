//! The process that reads one PDF: bounds itself, reads standard input, answers on standard output.

use std::io::{self, Read as _, Write as _};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::answer::{self, Asked};
use super::{DAMAGED, pdf, text};
use crate::{Error, MediaType};

/// Stack of the thread that reads: enough for every real document, a part of the memory that the process may have.
const STACK: usize = 64 << 20;

/// Reads the PDF on standard input and answers on standard output, within bounds that this process sets itself first. The
/// arguments are those that a [`ReaderProgram`](crate::ReaderProgram) puts after its own; call it in a process that does
/// nothing else and has one thread.
///
/// # Errors
///
/// When the arguments are not those, the bounds cannot be set, or the input or output breaks off. A document that cannot be
/// read is an answer, not an error; one that exceeds the bounds ends the process.
pub fn read_document(arguments: &[String]) -> io::Result<()> {
    let (asked, memory, seconds) = parse(arguments).ok_or(io::ErrorKind::InvalidInput)?;
    bound(memory, seconds)?;
    let reading = std::thread::Builder::new().stack_size(STACK).spawn(move || read(asked))?;
    let outcome = match reading.join() {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::Unreadable(DAMAGED)),
    };
    if let Err(Error::Io(error)) = outcome {
        return Err(error);
    }
    let (tag, text) = answer::encode(&outcome);
    let mut output = io::stdout().lock();
    output.write_all(&[tag])?;
    output.write_all(text.as_bytes())?;
    output.flush()
}

fn parse(arguments: &[String]) -> Option<(Asked, u64, u64)> {
    let [asked, memory, seconds] = arguments else { return None };
    Some((Asked::of(asked)?, memory.parse().ok()?, seconds.parse().ok()?))
}

/// Bounds memory and time of this process for good, and keeps it from leaving a document behind in a dump.
fn bound(memory: u64, seconds: u64) -> io::Result<()> {
    let bounds = [(Resource::RLIMIT_CORE, 0), (Resource::RLIMIT_AS, memory), (Resource::RLIMIT_CPU, seconds)];
    for (resource, most) in bounds {
        // Whoever started this may have bounded it more tightly; a bound can only be lowered.
        let most = most.min(getrlimit(resource)?.1);
        setrlimit(resource, most, most)?;
    }
    Ok(())
}

fn read(asked: Asked) -> Result<String, Error> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    match asked {
        Asked::Text => text(&bytes, MediaType::Pdf),
        Asked::Open => pdf::open(&bytes).map(|_| String::new()),
    }
}
