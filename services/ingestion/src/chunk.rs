//! Cuts a text into chunks that an embedding model reads whole.

mod sections;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};

use text_splitter::{ChunkConfig, ChunkSizer, MarkdownSplitter, TextSplitter};

use self::sections::{Section, blocks, sections};
use crate::{Error, MediaType};

/// Most tokens of a chunk, whatever the model could read: a passage is to answer one question.
const LARGEST: usize = 512;
/// One part in this many of a chunk stands in the chunk before it too.
const OVERLAP: usize = 10;

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// The text, verbatim.
    pub(crate) text: String,
    /// First character, in Unicode scalar values.
    pub(crate) start: usize,
    /// First character after it.
    pub(crate) end: usize,
}

/// How large chunks may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Most tokens of a chunk.
    pub(crate) tokens: usize,
    /// Most characters of a chunk.
    pub(crate) characters: usize,
    /// Most chunks of a document.
    pub(crate) chunks: usize,
}

impl Bounds {
    /// Chunks that a model with this window reads whole, of texts that the tier lets it read.
    pub(crate) fn new(window: usize, characters: usize, chunks: usize) -> Self {
        Self { tokens: window.clamp(2, LARGEST), characters: characters.max(2), chunks }
    }
}

/// Cuts a text, at the ends of sections, paragraphs and sentences where it can; `count` counts tokens. Stops when
/// `given_up` is set.
///
/// # Errors
///
/// [`Error::TooLong`] when there would be more chunks than allowed.
pub(crate) fn split(
    text: &str,
    kind: MediaType,
    bounds: Bounds,
    count: impl Fn(&str) -> usize,
    given_up: &AtomicBool,
) -> Result<Vec<Chunk>, Error> {
    let sizer = Sizer { count, bounds };
    let config = ChunkConfig::new(bounds.tokens)
        .with_sizer(sizer)
        .with_overlap(bounds.tokens / OVERLAP)
        .expect("a tenth is less than the whole");
    let mut chunks = Collected { chunks: Vec::new(), bounds, given_up };
    match kind {
        // A passage is about one thing: sections are not put together, however short they are.
        MediaType::Markdown | MediaType::Html => {
            let splitter = MarkdownSplitter::new(config);
            for section in sections(text).into_iter().flat_map(blocks) {
                for piece in splitter.chunk_char_indices(section.text) {
                    chunks.take(section.start + piece.char_offset, piece.chunk)?;
                }
            }
        }
        MediaType::Text | MediaType::Pdf => {
            let splitter = TextSplitter::new(config);
            for block in blocks(Section { start: 0, text }) {
                for piece in splitter.chunk_char_indices(block.text) {
                    chunks.take(block.start + piece.char_offset, piece.chunk)?;
                }
            }
        }
    }
    if chunks.chunks.is_empty() { Err(Error::Empty) } else { Ok(chunks.chunks) }
}

struct Collected<'a> {
    chunks: Vec<Chunk>,
    bounds: Bounds,
    given_up: &'a AtomicBool,
}

impl Collected<'_> {
    fn take(&mut self, start: usize, piece: &str) -> Result<(), Error> {
        if self.given_up.load(Ordering::Relaxed) {
            return Err(Error::Unreadable("reading it was given up"));
        }
        // Rulers and the like: nothing to find.
        if !piece.chars().any(char::is_alphanumeric) {
            return Ok(());
        }
        if self.chunks.len() == self.bounds.chunks {
            return Err(Error::TooLong { chunks: self.bounds.chunks });
        }
        let end = start + piece.chars().count();
        self.chunks.push(Chunk { text: piece.to_owned(), start, end });
        Ok(())
    }
}

/// Measures in tokens, and in characters scaled to tokens, whichever is more: a chunk keeps to both bounds.
struct Sizer<C> {
    count: C,
    bounds: Bounds,
}

impl<C: Fn(&str) -> usize> ChunkSizer for Sizer<C> {
    fn size(&self, chunk: &str) -> usize {
        let by_length = (chunk.chars().count() * self.bounds.tokens).div_ceil(self.bounds.characters);
        // No need to count the tokens of what is too long already.
        if by_length > self.bounds.tokens { by_length } else { (self.count)(chunk).max(by_length) }
    }
}
