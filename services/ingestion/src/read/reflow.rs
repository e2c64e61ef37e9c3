//! Puts the lines of a page together again: a PDF knows lines where its author wrote paragraphs, so that a sentence that
//! goes over two lines would be cut in the middle, and often with an empty line between.

/// Joins lines that belong to one paragraph. A line goes on in the next when it does not end like a sentence, a heading or
/// an item of a list, and the next one begins in the middle of a sentence.
pub(super) fn reflow(text: &str) -> String {
    let mut flowed = String::with_capacity(text.len());
    let mut blank_lines = 0;
    for line in text.lines() {
        let line = line.trim_end();
        if line.trim_start().is_empty() {
            blank_lines += 1;
            continue;
        }
        if goes_on(&flowed, line) {
            join(&mut flowed);
            flowed.push_str(line.trim_start());
        } else {
            let parted = if blank_lines > 0 { "\n\n" } else { "\n" };
            flowed.push_str(if flowed.is_empty() { "" } else { parted });
            flowed.push_str(line);
        }
        blank_lines = 0;
    }
    flowed
}

/// A word that was parted at the line's end is put together again; elsewhere a blank takes the place of the line's end.
fn join(text: &mut String) {
    let mut before = text.chars().rev();
    if before.next() == Some('-') && before.next().is_some_and(char::is_lowercase) {
        text.pop();
    } else {
        text.push(' ');
    }
}

fn goes_on(before: &str, line: &str) -> bool {
    let last = before.chars().next_back().unwrap_or('.');
    let first = line.trim_start().chars().next().unwrap_or('A');
    let is_open = last.is_alphanumeric() || matches!(last, ',' | ';' | '-' | '(' | '–');
    is_open && (first.is_lowercase() || (matches!(last, ',' | '(') && first.is_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::reflow;

    #[test]
    fn a_sentence_over_several_lines_becomes_whole() {
        let page =
            "It carries a payload of 14 kilograms\n\nand flies for 95 minutes on one\ncharge. The next sentence.";
        assert_eq!(
            reflow(page),
            "It carries a payload of 14 kilograms and flies for 95 minutes on one charge. The next sentence."
        );
    }

    #[test]
    fn headings_lists_and_paragraphs_stay_apart() {
        let page = "Project Albatross\n\nThe drone flies.\n\nParts:\n- a wing\n- a motor\nIt is blue.";
        assert_eq!(reflow(page), page);
    }

    #[test]
    fn a_word_that_was_parted_is_put_together() {
        assert_eq!(
            reflow("The mainte-\nnance interval, in\nGermany, is 200 hours."),
            "The maintenance interval, in\nGermany, is 200 hours."
        );
        assert_eq!(reflow("between A-\nand B"), "between A- and B");
    }
}
