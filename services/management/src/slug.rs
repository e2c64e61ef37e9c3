//! Names of agents in URLs.

use std::collections::HashSet;

use crate::Error;

const MIN: usize = 5;
const MAX: usize = 50;
/// What is put before a name that is too short.
const PREFIX: &str = "agent";

/// What stands in an address for something else than an agent.
const RESERVED: [&str; 3] = ["workflow-", "kb-", "collection-"];

/// Tells whether something else than an agent is meant in an address.
pub(crate) fn is_reserved(text: &str) -> bool {
    RESERVED.iter().any(|prefix| text.starts_with(prefix))
}

/// Reads a slug that the caller chose: 5 to 50 characters out of `a-z 0-9 -`, which no address reads as something else.
pub(crate) fn read(field: &'static str, text: &str) -> Result<String, Error> {
    if is_reserved(text) {
        return Err(Error::field(
            field,
            format!("must not begin with {}: no address would lead there", RESERVED.join(", ")),
        ));
    }
    let grammar = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if grammar && (MIN..=MAX).contains(&text.len()) {
        return Ok(text.to_owned());
    }
    Err(Error::field(field, "must be 5 to 50 characters out of a-z 0-9 -"))
}

/// Makes a slug from an agent's name: letters keep their base form, everything else becomes single hyphens.
pub(crate) fn from_name(name: &str) -> String {
    let mut slug = String::new();
    for letter in name.chars().flat_map(char::to_lowercase) {
        let plain = plain(letter);
        if plain.is_empty() && !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        slug.push_str(plain.as_str());
    }
    slug.truncate(MAX);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() {
        return PREFIX.to_owned();
    }
    let mut slug = if slug.len() < MIN || is_reserved(slug) { format!("{PREFIX}-{slug}") } else { slug.to_owned() };
    slug.truncate(MAX);
    slug.trim_end_matches('-').to_owned()
}

/// Returns the slug itself, or the first of `slug-2`, `slug-3`, … that is not taken.
pub(crate) fn free(slug: &str, taken: &HashSet<String>) -> String {
    if !taken.contains(slug) {
        return slug.to_owned();
    }
    let mut numbered = (2_u64..).map(|number| {
        let suffix = format!("-{number}");
        let stem = &slug[..slug.len().min(MAX - suffix.len())];
        format!("{}{suffix}", stem.trim_end_matches('-'))
    });
    numbered.find(|candidate| !taken.contains(candidate)).expect("the numbers do not end")
}

/// What all the slugs that [`free`] may return begin with.
pub(crate) fn stem(slug: &str) -> &str {
    // Room for a hyphen and the longest number; what is cut here is at most cut from more slugs than needed.
    slug[..slug.len().min(MAX - 21)].trim_end_matches('-')
}

/// The letters of the product's languages without their accents; nothing for what cannot stand in a slug.
fn plain(letter: char) -> String {
    let base = match letter {
        'a'..='z' | '0'..='9' => return letter.to_string(),
        'á' | 'à' | 'â' | 'ä' | 'ã' | 'å' => "a",
        'é' | 'è' | 'ê' | 'ë' => "e",
        'í' | 'ì' | 'î' | 'ï' => "i",
        'ó' | 'ò' | 'ô' | 'ö' | 'õ' => "o",
        'ú' | 'ù' | 'û' | 'ü' => "u",
        'ñ' => "n",
        'ç' => "c",
        'ß' => "ss",
        _ => "",
    };
    base.to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{free, from_name, read, stem};

    #[test]
    fn names_become_slugs() {
        for (name, slug) in [
            ("Customer Support", "customer-support"),
            ("  Atención al Cliente (España) ", "atencion-al-cliente-espana"),
            ("Bot", "agent-bot"),
            ("你好", "agent"),
            ("--- a --- b --- c", "a-b-c"),
            ("straße 12", "strasse-12"),
            ("Workflow Helper", "agent-workflow-helper"),
            ("KB Search", "agent-kb-search"),
        ] {
            assert_eq!(from_name(name), slug);
        }
    }

    #[test]
    fn every_name_gives_a_slug_within_the_grammar() {
        let reserved = format!("collection {}", "x".repeat(60));
        for name in [&reserved, "x", "-", "ñ", &"é".repeat(100), &"ab ".repeat(33), "A/B\\C", "ß".repeat(60).as_str()]
        {
            let slug = from_name(name);
            assert!(read("slug", &slug).is_ok(), "{slug}");
        }
    }

    #[test]
    fn a_taken_slug_is_numbered_and_stays_within_50_characters() {
        let long = "a".repeat(50);
        let mut taken = HashSet::new();
        for _ in 0..12 {
            let slug = free(&long, &taken);
            assert!(slug.len() <= 50 && slug.starts_with(stem(&long)));
            assert!(taken.insert(slug));
        }
        assert!(taken.contains(&format!("{}-12", "a".repeat(47))));
    }

    #[test]
    fn slugs_outside_the_grammar_are_refused() {
        let long = "a".repeat(51);
        for slug in ["workflow-1", "kb-search", "collection-a", "", "abcd", "Abcde", "ab cde", "ábcde", long.as_str()]
        {
            assert!(read("slug", slug).is_err(), "{slug}");
        }
    }
}
