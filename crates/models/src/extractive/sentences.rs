//! Sentences of a passage, each as a range of its text, so that quoting one is quoting the passage letter by letter.
//!
//! Passages are plain text or Markdown. Lines that were wrapped belong together; headings, list items, table rows and
//! code lines stand alone. Markers (`#`, `-`, `1.`, `>`, `|`) are not part of a sentence.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

/// A sentence longer than this many bytes is most likely a table or a list that lost its form, as PDFs do: it is cut at
/// its line ends.
const LONGEST: usize = 500;

/// A sentence and what it stands under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sentence {
    /// Where it stands in the text.
    pub(super) range: Range<usize>,
    /// What it is.
    pub(super) kind: Kind,
    /// The heading above it.
    pub(super) heading: Option<Range<usize>>,
    /// The line that introduces the list or code that it is part of.
    pub(super) intro: Option<Range<usize>>,
}

/// What a sentence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Prose, a list item or a table row.
    Prose,
    /// A line that only introduces what follows ("The limits are:").
    Intro,
    /// A line of code.
    Code,
}

/// Finds the sentences of a text, in order.
pub(super) fn sentences(text: &str) -> Vec<Sentence> {
    let mut splitter = Splitter { text, ..Splitter::default() };
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        splitter.line(offset, line);
        offset += line.len();
    }
    splitter.flush();
    splitter.found
}

#[derive(Default)]
struct Splitter<'a> {
    text: &'a str,
    found: Vec<Sentence>,
    heading: Option<Range<usize>>,
    intro: Option<Range<usize>>,
    paragraph: Option<Range<usize>>,
    in_list: bool,
    in_code: bool,
}

enum Line {
    Blank,
    Fence,
    Rule,
    Heading(usize),
    Item(usize),
    Row(usize),
    Quote(usize),
    Text,
}

impl Splitter<'_> {
    fn line(&mut self, offset: usize, line: &str) {
        let content = line.trim();
        let start = offset + (line.len() - line.trim_start().len());
        let range = start..start + content.len();
        let kind = classify(content);
        if self.in_code && !matches!(kind, Line::Fence | Line::Blank) {
            self.push(range);
            return;
        }
        match kind {
            Line::Blank => self.flush(),
            Line::Fence => {
                self.flush();
                self.in_code = !self.in_code;
            }
            Line::Rule => self.rule(),
            Line::Heading(marker) => {
                self.flush();
                self.heading = Some(range.start + marker..range.end);
                self.intro = None;
            }
            Line::Item(marker) => {
                self.flush();
                self.in_list = true;
                self.paragraph = Some(range.start + marker..range.end);
            }
            Line::Row(marker) => {
                self.flush();
                let cells = self.text[range.start + marker..range.end].trim_end_matches(['|', ' ']);
                self.push(range.start + marker..range.start + marker + cells.len());
            }
            Line::Quote(marker) if self.paragraph.is_none() => {
                self.paragraph = Some(range.start + marker..range.end);
            }
            Line::Quote(_) | Line::Text => {
                if let Some(paragraph) = &mut self.paragraph {
                    paragraph.end = range.end;
                } else {
                    self.in_list = false;
                    self.paragraph = Some(range);
                }
            }
        }
    }

    /// A line of dashes or equals signs makes the one line above it a heading, or else parts two blocks.
    fn rule(&mut self) {
        match self.paragraph.take() {
            Some(above) if !self.in_list && !self.text[above.clone()].contains('\n') => {
                self.heading = Some(above);
                self.intro = None;
            }
            other => {
                self.paragraph = other;
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        let Some(paragraph) = self.paragraph.take() else { return };
        if !self.in_list {
            self.intro = None;
        }
        for range in split(self.text, paragraph) {
            self.push(range);
        }
        let introduces = self.found.last_mut().filter(|last| self.text[last.range.clone()].ends_with(':'));
        if let Some(last) = introduces.filter(|_| !self.in_list) {
            last.kind = Kind::Intro;
            self.intro = Some(last.range.clone());
        }
    }

    fn push(&mut self, range: Range<usize>) {
        if self.text[range.clone()].chars().any(char::is_alphanumeric) {
            let kind = if self.in_code { Kind::Code } else { Kind::Prose };
            self.found.push(Sentence { range, kind, heading: self.heading.clone(), intro: self.intro.clone() });
        }
    }
}

fn classify(content: &str) -> Line {
    if content.is_empty() {
        return Line::Blank;
    }
    if content.starts_with("```") || content.starts_with("~~~") {
        return Line::Fence;
    }
    let only = |allowed: &str| content.chars().all(|c| allowed.contains(c));
    if content.len() >= 3 && (only("=") || only("-") || only("* ") || only("_ ")) {
        return Line::Rule;
    }
    let after = |marker: &str| content.len() - content[marker.len()..].trim_start().len();
    let hashes = content.len() - content.trim_start_matches('#').len();
    if (1..=6).contains(&hashes) && content[hashes..].starts_with(' ') {
        return Line::Heading(after(&content[..hashes]));
    }
    if content.starts_with('|') {
        return if only("|-: ") { Line::Rule } else { Line::Row(after("|")) };
    }
    if content.starts_with('>') {
        return Line::Quote(after(">"));
    }
    for bullet in ["- ", "* ", "+ ", "• "] {
        if content.starts_with(bullet) {
            return Line::Item(after(bullet));
        }
    }
    let digits = content.bytes().take_while(u8::is_ascii_digit).count();
    if (1..=3).contains(&digits) && (content[digits..].starts_with(". ") || content[digits..].starts_with(") ")) {
        return Line::Item(after(&content[..=digits]));
    }
    Line::Text
}

/// Splits a paragraph at its sentence ends; a line break within it is only a space.
fn split(text: &str, paragraph: Range<usize>) -> Vec<Range<usize>> {
    let flat = text[paragraph.clone()].replace(['\n', '\r'], " ");
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut joined = false;
    for (offset, piece) in flat.split_sentence_bound_indices() {
        let end = paragraph.start + offset + piece.len();
        match ranges.last_mut() {
            Some(last) if joined => last.end = end,
            _ => ranges.push(paragraph.start + offset..end),
        }
        let following = flat[offset + piece.len()..].chars().next();
        joined = goes_on(piece.trim_end(), following);
    }
    ranges
        .into_iter()
        .flat_map(|range| if range.len() > LONGEST { lines(text, range) } else { vec![range] })
        .map(|range| trimmed(text, range))
        .filter(|range| !range.is_empty())
        .collect()
}

fn lines(text: &str, range: Range<usize>) -> Vec<Range<usize>> {
    let mut offset = range.start;
    let cut = text[range].split_inclusive('\n').map(|line| {
        let start = offset;
        offset += line.len();
        start..offset
    });
    cut.collect()
}

/// Leaves out spaces, and what closes the sentence before ("**Health.** Services tell …" leaves "** Services tell …").
fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let slice = text[range.clone()].trim_start();
    let opened = slice.trim_start_matches(['*', '_', '"', '”', '»', ')', ']']);
    let slice = if opened.starts_with(char::is_whitespace) { opened.trim_start() } else { slice };
    let start = range.end - slice.len();
    start..start + slice.trim_end().len()
}

/// Abbreviations after which a sentence goes on, in English and Spanish.
const ABBREVIATIONS: [&str; 26] = [
    "e.g.", "i.e.", "dr.", "mr.", "mrs.", "ms.", "prof.", "st.", "vs.", "approx.", "fig.", "cf.", "viz.", "sr.",
    "sra.", "dra.", "ud.", "uds.", "ej.", "p.ej.", "pág.", "págs.", "art.", "aprox.", "ee.", "jr.",
];

/// Abbreviations after which a sentence goes on when a number follows.
const BEFORE_NUMBERS: [&str; 7] = ["no.", "nos.", "núm.", "vol.", "sec.", "ch.", "cap."];

fn goes_on(sentence: &str, following: Option<char>) -> bool {
    let last = sentence.rsplit(char::is_whitespace).next().unwrap_or_default();
    let last = last.trim_start_matches(['(', '[', '"', '“', '«', '¿', '¡']);
    let mut characters = last.chars();
    let is_initial = matches!(
        (characters.next(), characters.next(), characters.next()),
        (Some(letter), Some('.'), None) if letter.is_uppercase()
    );
    let lower = last.to_lowercase();
    is_initial
        || ABBREVIATIONS.contains(&lower.as_str())
        || BEFORE_NUMBERS.contains(&lower.as_str()) && following.is_some_and(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests;
