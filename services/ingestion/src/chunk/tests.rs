use std::sync::atomic::AtomicBool;

use proptest::prelude::*;

use super::{Bounds, Chunk, sections::sections, split};
use crate::{Error, MediaType};

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

fn bounds(tokens: usize) -> Bounds {
    Bounds { tokens, characters: 200, chunks: 1000 }
}

fn cut(text: &str, kind: MediaType, bounds: Bounds) -> Result<Vec<Chunk>, Error> {
    split(text, kind, bounds, words, &AtomicBool::new(false))
}

fn slice(text: &str, start: usize, end: usize) -> String {
    text.chars().skip(start).take(end - start).collect()
}

proptest! {
    #[test]
    fn chunks_are_verbatim_within_bounds_and_leave_no_word_out(
        text in "([a-zé漢😀#*\\-]{1,12}[ \n.]{1,3}){0,80}",
        markdown: bool,
    ) {
        let kind = if markdown { MediaType::Markdown } else { MediaType::Text };
        let chunks = match cut(&text, kind, bounds(16)) {
            Ok(chunks) => chunks,
            Err(Error::Empty) => {
                prop_assert!(!text.chars().any(char::is_alphanumeric));
                return Ok(());
            }
            Err(error) => panic!("{error}"),
        };
        let mut covered = vec![false; text.chars().count()];
        for chunk in &chunks {
            prop_assert_eq!(&slice(&text, chunk.start, chunk.end), &chunk.text);
            prop_assert!(chunk.text.split_whitespace().count() <= 16);
            prop_assert!(chunk.text.chars().count() <= 200);
            covered[chunk.start..chunk.end].fill(true);
        }
        for (character, covered) in text.chars().zip(covered) {
            prop_assert!(covered || !character.is_alphanumeric(), "{character:?} is in no chunk");
        }
    }

    #[test]
    fn sections_put_together_are_the_text(text in "((#{1,3} )?[a-z]{0,5}(```)?\n?){0,30}") {
        let sections = sections(&text);
        let together: String = sections.iter().map(|section| section.text).collect();
        for section in &sections {
            prop_assert!(slice(&text, section.start, text.chars().count()).starts_with(section.text));
        }
        prop_assert_eq!(together, text);
    }
}

#[test]
fn a_section_keeps_its_heading_and_headings_are_never_alone() {
    let text = "# Guide\n\n## Tiers\n\nThere are four.\n\n```\n# not a heading\n```\n## Queues\n\nFair.\n";
    let chunks = cut(text, MediaType::Markdown, bounds(64)).unwrap();
    let texts: Vec<&str> = chunks.iter().map(|chunk| chunk.text.as_str()).collect();
    assert_eq!(texts, ["# Guide\n\n## Tiers\n\nThere are four.\n\n```\n# not a heading\n```", "## Queues\n\nFair."]);
}

#[test]
fn neighbours_in_a_long_paragraph_overlap() {
    let text = (0..60).map(|n| format!("word{n}")).collect::<Vec<_>>().join(" ");
    let chunks = cut(&text, MediaType::Text, bounds(20)).unwrap();
    assert!(chunks.len() >= 3);
    for pair in chunks.windows(2) {
        assert!(pair[1].start < pair[0].end, "no overlap between {:?} and {:?}", pair[0], pair[1]);
    }
}

#[test]
fn more_chunks_than_the_tier_allows_are_refused() {
    let text = (0..600).map(|n| format!("word{n}")).collect::<Vec<_>>().join(" ");
    let tight = Bounds { chunks: 3, ..bounds(16) };
    assert!(matches!(cut(&text, MediaType::Text, tight), Err(Error::TooLong { chunks: 3 })));
}

#[test]
fn text_without_words_is_empty() {
    assert!(matches!(cut("--- *** ...", MediaType::Markdown, bounds(16)), Err(Error::Empty)));
}

#[test]
fn a_caller_that_went_away_stops_the_cutting() {
    let outcome = split("some words", MediaType::Text, bounds(16), words, &AtomicBool::new(true));
    assert!(matches!(outcome, Err(Error::Unreadable(_))));
}

#[test]
fn a_long_text_is_cut_in_blocks_and_still_covered() {
    for text in
        ["word ".repeat(10_000), "漢".repeat(12_000), format!("{}\n\n{}", "a".repeat(9_000), "b ".repeat(20_000))]
    {
        let wide = Bounds { tokens: 64, characters: 2_000, chunks: 10_000 };
        let chunks = cut(&text, MediaType::Text, wide).unwrap();
        let characters: Vec<char> = text.chars().collect();
        let mut covered = vec![false; characters.len()];
        for chunk in &chunks {
            assert!(chunk.text.chars().eq(characters[chunk.start..chunk.end].iter().copied()));
            covered[chunk.start..chunk.end].fill(true);
        }
        assert!(characters.iter().zip(covered).all(|(character, covered)| covered || !character.is_alphanumeric()));
    }
}
