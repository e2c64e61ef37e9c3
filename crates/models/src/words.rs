//! Words of English and Spanish texts, made comparable: folded, without stop words, lightly stemmed.
//!
//! The stemmer is symmetric rather than right: what matters is that the forms of one word meet ("policies" and "policy",
//! "gratuita" and "gratuito"), not that the result is a word.

use std::collections::HashSet;
use std::sync::LazyLock;

/// A word of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// The word in lower case, without accents and apostrophes.
    pub(crate) folded: String,
    /// Begins with a capital letter in the text.
    pub(crate) capital: bool,
}

impl Word {
    /// Tells whether the word says nothing about the subject.
    pub(crate) fn is_stop(&self) -> bool {
        STOP_WORDS.contains(self.folded.as_str())
    }

    /// Tells whether the word has a digit.
    pub(crate) fn has_digit(&self) -> bool {
        self.folded.chars().any(|c| c.is_ascii_digit())
    }

    /// Returns what the forms of the word have in common.
    pub(crate) fn stem(&self) -> String {
        stem(&self.folded)
    }
}

/// Splits a text into words.
pub(crate) fn words(text: &str) -> Vec<Word> {
    let mut found = Vec::new();
    let mut folded = String::new();
    let mut capital = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let next = characters.peek().copied();
        if character.is_alphanumeric() {
            if folded.is_empty() {
                capital = character.is_uppercase();
            }
            fold_into(&mut folded, character);
        } else if !folded.is_empty() && joins(&folded, character, next) {
            if character == '.' {
                folded.push('.');
            }
        } else if !folded.is_empty() {
            found.push(Word { folded: std::mem::take(&mut folded), capital });
        }
    }
    if !folded.is_empty() {
        found.push(Word { folded, capital });
    }
    found
}

/// Returns the stems of the words that say something.
pub(crate) fn content_stems(text: &str) -> Vec<String> {
    words(text).iter().filter(|word| !word.is_stop()).map(Word::stem).collect()
}

/// How near two stems are: 1 for the same, less if one begins with the other ("install", "installation"), else 0.
pub(crate) fn kinship(a: &str, b: &str) -> f32 {
    if a == b {
        return 1.0;
    }
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    if !long.starts_with(short) || short.bytes().any(|byte| byte.is_ascii_digit()) {
        return 0.0;
    }
    match (short.len(), long.len() - short.len()) {
        (5.., ..=6) => 0.8,
        (4, ..=2) => 0.6,
        _ => 0.0,
    }
}

/// Within a number a point stays and a comma goes; an apostrophe within a word goes.
fn joins(before: &str, character: char, next: Option<char>) -> bool {
    let digit_before = before.ends_with(|c: char| c.is_ascii_digit());
    match character {
        '\'' | '’' => next.is_some_and(char::is_alphabetic),
        '.' | ',' => digit_before && next.is_some_and(|c| c.is_ascii_digit()),
        _ => false,
    }
}

fn fold_into(folded: &mut String, character: char) {
    for lower in character.to_lowercase() {
        folded.push(match lower {
            'á' | 'à' | 'â' | 'ä' | 'ã' => 'a',
            'é' | 'è' | 'ê' | 'ë' => 'e',
            'í' | 'ì' | 'î' | 'ï' => 'i',
            'ó' | 'ò' | 'ô' | 'ö' | 'õ' => 'o',
            'ú' | 'ù' | 'û' | 'ü' => 'u',
            'ñ' => 'n',
            'ç' => 'c',
            other => other,
        });
    }
}

fn stem(word: &str) -> String {
    if word.bytes().any(|byte| byte.is_ascii_digit()) {
        return word.to_owned();
    }
    let mut stem = without_plural(word);
    stem = without_ending(&stem);
    if stem.len() > 3 && stem.ends_with('e') || stem.len() > 4 && stem.ends_with(['a', 'o']) {
        stem.pop();
    } else if stem.len() > 3 && stem.ends_with('y') {
        stem.pop();
        stem.push('i');
    }
    stem
}

fn without_plural(word: &str) -> String {
    if let Some(root) = word.strip_suffix("ies").filter(|root| root.len() >= 2) {
        return format!("{root}y");
    }
    let singular = ["ss", "us", "is"].iter().any(|ending| word.ends_with(ending));
    match word.strip_suffix('s') {
        Some(root) if root.len() >= 3 && !singular => root.to_owned(),
        _ => word.to_owned(),
    }
}

fn without_ending(word: &str) -> String {
    let verb = ["ing", "ed"].iter().find_map(|ending| word.strip_suffix(ending));
    if let Some(root) = verb.filter(|root| root.len() >= 3 && has_vowel(root) && !root.ends_with('e')) {
        return without_double(root).to_owned();
    }
    match word.strip_suffix("ly") {
        Some(root) if root.len() >= 4 => root.to_owned(),
        _ => word.to_owned(),
    }
}

/// "stopp" becomes "stop"; "call" and "pass" stay.
fn without_double(root: &str) -> &str {
    let bytes = root.as_bytes();
    match bytes {
        [.., a, b] if a == b && b.is_ascii_alphabetic() && !b"lsz".contains(b) => &root[..root.len() - 1],
        _ => root,
    }
}

fn has_vowel(text: &str) -> bool {
    text.contains(['a', 'e', 'i', 'o', 'u', 'y'])
}

static STOP_WORDS: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| ENGLISH.split_whitespace().chain(SPANISH.split_whitespace()).collect());

const ENGLISH: &str = "
    a about above after again against all also am an and any anyone anything are arent as at be because been before being
    between both but by can cannot cant could did didnt do does doesnt doing dont each either else ever every few for from
    further had has hasnt have havent having he her here hers him his how however i if ill im in into is isnt it its
    itself ive just let lets may me might more most much must my myself no nor not of off on once only onto or other our
    ours out over own per please quite rather same shall she should shouldnt so some someone something such than that thats
    the their theirs them then there theres these they theyre this those through thus to too under until up upon us very
    was wasnt we well were werent what whats when whenever where whether which while who whom whose why will with within
    without wont would wouldnt yes yet you your yours
    describe explain happen happens happened know mean means say says tell";

const SPANISH: &str = "
    a al algo algun alguna algunas alguno algunos ante antes aquel aquella aquellas aquellos aqui asi aun aunque cada como
    con contra cual cuales cualquier cuando cuanta cuantas cuanto cuantos de del desde donde dos e el ella ellas ello ellos
    en entre era eran eres es esa esas ese eso esos esta estaba estan estar estas este esto estos estoy fue fueron ha haber
    habia han has hasta hay he hemos la las le les lo los mas me mi mis mucha muchas mucho muchos muy nada ni ningun ninguna
    no nos nosotros nuestra nuestro o os otra otras otro otros para pero poco por porque pues puede pueden puedo que quien
    quienes se segun ser si sido sin sobre sois somos son soy su sus suya suyo tal tambien tampoco tan tanto te tenemos
    tener tengo ti tiene tienen todo todos tu tus u un una unas uno unos usted ustedes va vamos van y ya yo
    cuentame describe dime explica explicame quiero saber significa sucede ocurre pasa favor";

#[cfg(test)]
mod tests {
    use super::{content_stems, kinship, words};

    #[test]
    fn words_are_folded_and_numbers_stay_whole() {
        let folded: Vec<_> =
            words("It's 1,000.5 peticiones: ¿Cuántas? agent_run").into_iter().map(|w| w.folded).collect();
        assert_eq!(folded, ["its", "1000.5", "peticiones", "cuantas", "agent", "run"]);
    }

    #[test]
    fn forms_of_a_word_meet() {
        let families: [&[&str]; 9] = [
            &["policy", "policies"],
            &["change", "changes", "changed", "changing"],
            &["stop", "stops", "stopped", "stopping"],
            &["gratuito", "gratuita", "gratuitos"],
            &["colección", "colecciones", "coleccion"],
            &["box", "boxes"],
            &["run", "runs", "running"],
            &["status"],
            &["deploy", "deployed", "deploys"],
        ];
        for family in families {
            let stems: Vec<_> = family.iter().flat_map(|word| content_stems(word)).collect();
            assert!(stems.iter().all(|stem| *stem == stems[0]), "{family:?} gives {stems:?}");
        }
        assert_ne!(content_stems("data"), content_stems("date"));
        assert_ne!(content_stems("need"), content_stems("new"));
    }

    #[test]
    fn words_that_say_nothing_are_left_out() {
        assert!(content_stems("What is the and of it? ¿Qué es lo que hay?").is_empty());
    }

    #[test]
    fn a_word_and_its_derivation_are_near_and_strangers_are_not() {
        assert!(kinship("install", "installation") > 0.5);
        assert!(kinship("stor", "storag") > 0.5);
        assert!(kinship("contract", "contrast").abs() < f32::EPSILON);
        assert!(kinship("2024", "20245").abs() < f32::EPSILON);
    }
}
