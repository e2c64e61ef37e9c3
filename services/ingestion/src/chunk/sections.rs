//! The sections of a Markdown text: a heading and what stands under it.

/// Most bytes of a block.
const BLOCK: usize = 32 << 10;

/// A part of a text, with its place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section<'a> {
    /// First character, in Unicode scalar values.
    pub(crate) start: usize,
    /// The section, heading included.
    pub(crate) text: &'a str,
}

/// Cuts a text before every heading that has text of its own before it: headings that follow each other directly stay
/// together, so that no section is a heading alone. The sections put together are the text.
pub(crate) fn sections(text: &str) -> Vec<Section<'_>> {
    let mut sections = Vec::new();
    let (mut from, mut at, mut has_body) = (0, 0, false);
    let mut fence: Option<&str> = None;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start_matches(' ').trim_end();
        let mark = ["```", "~~~"].into_iter().find(|mark| trimmed.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            _ => {}
        }
        let heading = fence.is_none() && is_heading(line);
        if heading && has_body {
            sections.push(&text[from..at]);
            from = at;
            has_body = false;
        }
        has_body |= !heading && !trimmed.is_empty();
        at += line.len();
    }
    sections.push(&text[from..]);
    let mut start = 0;
    let place = |text: &'_ str| {
        let begin = start;
        start += text.chars().count();
        begin
    };
    let starts: Vec<usize> = sections.iter().copied().map(place).collect();
    sections.into_iter().zip(starts).map(|(text, start)| Section { start, text }).collect()
}

/// Cuts a text into blocks of a bounded length, between paragraphs, lines or words where it can: the time that splitting
/// takes grows faster than the text. The blocks put together are the text.
pub(crate) fn blocks(section: Section<'_>) -> Vec<Section<'_>> {
    let Section { mut start, text: mut rest } = section;
    let mut blocks = Vec::new();
    while rest.len() > BLOCK {
        let most = &rest[..rest.floor_char_boundary(BLOCK)];
        // Not before the middle, so that the number of blocks is bounded, too.
        let middle = most.floor_char_boundary(BLOCK / 2);
        let after = |mark: &str| most[middle..].rfind(mark).map(|at| middle + at + mark.len());
        let end = after("\n\n").or_else(|| after("\n")).or_else(|| after(" ")).unwrap_or(most.len());
        let text = &rest[..end];
        blocks.push(Section { start, text });
        start += text.chars().count();
        rest = &rest[end..];
    }
    blocks.push(Section { start, text: rest });
    blocks
}

fn is_heading(line: &str) -> bool {
    let line =
        line.strip_prefix("   ").or_else(|| line.strip_prefix("  ")).or_else(|| line.strip_prefix(' ')).unwrap_or(line);
    let rest = line.trim_start_matches('#');
    (1..=6).contains(&(line.len() - rest.len())) && rest.starts_with([' ', '\t'])
}
