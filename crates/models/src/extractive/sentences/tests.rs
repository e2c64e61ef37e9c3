use super::sentences;

fn texts(text: &str) -> Vec<&str> {
    sentences(text).into_iter().map(|sentence| &text[sentence.range]).collect()
}

#[test]
fn prose_is_split_at_its_sentence_ends_and_nowhere_else() {
    let table: [(&str, &[&str]); 10] = [
        ("One. Two! Three? Four", &["One.", "Two!", "Three?", "Four"]),
        ("Use a store, e.g. Redis. It is fast.", &["Use a store, e.g. Redis.", "It is fast."]),
        ("Dr. Smith wrote it. J. R. Tolkien did not.", &["Dr. Smith wrote it.", "J. R. Tolkien did not."]),
        (
            "See No. 5 for more. The answer is no. Then stop.",
            &["See No. 5 for more.", "The answer is no.", "Then stop."],
        ),
        ("Version 1.2.3 costs 9.50 euros. Fine.", &["Version 1.2.3 costs 9.50 euros.", "Fine."]),
        ("¿Qué es? Es una cola. El Sr. Pérez lo sabe.", &["¿Qué es?", "Es una cola.", "El Sr. Pérez lo sabe."]),
        ("**Health.** Services tell. _It_ is.", &["**Health.", "Services tell.", "_It_ is."]),
        ("Wrapped\nlines belong\r\ntogether. Next.", &["Wrapped\nlines belong\r\ntogether.", "Next."]),
        ("", &[]),
        (" \n\n --- \n", &[]),
    ];
    for (text, expected) in table {
        assert_eq!(texts(text), expected, "{text:?}");
    }
}

#[test]
fn markdown_markers_are_not_part_of_a_sentence() {
    let text = "# Limits\n\nThe limits are:\n\n- free: 10 requests.\n* advance: 100\n  requests.\n1. first\n\n> Quoted text.\n\n\
                | tier | limit |\n|---|---|\n| free | 10 | |\n\n```sh\nmake up\n```\n";
    assert_eq!(
        texts(text),
        [
            "The limits are:",
            "free: 10 requests.",
            "advance: 100\n  requests.",
            "first",
            "Quoted text.",
            "tier | limit",
            "free | 10",
            "make up",
        ]
    );
}

#[test]
fn a_sentence_knows_its_heading_and_the_line_that_introduces_its_list() {
    let text = "Setext\n======\nUnder setext.\n\n## Limits ##\nThe limits are:\n- ten\n- twenty\n\nAfter the list.";
    let contexts: Vec<Vec<&str>> = sentences(text)
        .into_iter()
        .map(|sentence| sentence.heading.into_iter().chain(sentence.intro).map(|range| &text[range]).collect())
        .collect();
    let expected: [&[&str]; 5] = [
        &["Setext"],
        &["Limits ##"],
        &["Limits ##", "The limits are:"],
        &["Limits ##", "The limits are:"],
        &["Limits ##"],
    ];
    assert_eq!(contexts, expected);
}

#[test]
fn a_table_that_lost_its_form_is_cut_at_its_lines() {
    let text = "row of a table without any end\n".repeat(40);
    assert_eq!(texts(&text).len(), 40);
}

proptest::proptest! {
    #[test]
    fn any_text_gives_ordered_ranges_within_it(text in "[ -~\n\r\táñ¿\u{2022}#>|`*.:0-9-]{0,200}") {
        let mut end = 0;
        for sentence in sentences(&text) {
            proptest::prop_assert!(sentence.range.start >= end);
            end = sentence.range.end;
            proptest::prop_assert!(!text[sentence.range].trim().is_empty());
            for range in sentence.heading.into_iter().chain(sentence.intro) {
                proptest::prop_assert!(text.get(range).is_some());
            }
        }
    }
}
