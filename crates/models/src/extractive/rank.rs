//! Which sentences answer a question, by the words that they share with it.
//!
//! Two measures, for two decisions:
//!
//! * **Coverage** decides whether there is an answer at all: how much of what the question is about stands in a sentence,
//!   its heading, its document's title, or the sentence before it. A question whose words stand nowhere has none.
//! * **Score** decides which sentences are quoted: like BM25, rare words count more and long sentences a little less.

use std::collections::HashMap;

use super::sentences::{Kind, sentences};
use crate::Passage;
use crate::words::{self, Word, kinship};

/// The coverage from which a sentence answers. Calibrated by `extractive/tests.rs`.
const ENOUGH: f32 = 0.52;
/// The more similar the retriever found the passage, the less its words must agree: from this similarity on …
const SIMILAR: f32 = 0.35;
/// … the coverage asked for falls at this rate …
const RELIEF: f32 = 0.5;
/// … down to this.
const LEAST: f32 = 0.4;
/// What a name counts that a candidate does not hold: it is likely about something else.
const MISSING_NAME: f32 = 2.0;
/// Below this similarity the retriever itself would not have called the passage relevant: then almost all words must agree.
const FAR: f32 = 0.2;
const ENOUGH_FROM_AFAR: f32 = 0.8;

/// What a word counts that stands not in the sentence itself but above it,
const ABOVE: f32 = 0.7;
/// or in the sentence before it.
const BEFORE: f32 = 0.4;

/// Words that ask rather than name: they count less in a question.
const VAGUE: &str = "
    able allow big can come different do exist fast find get give go good great have help high kind large like list long
    look main make many need new offer often old possible provide quickly see set show size small soon sort support take
    thing time try type use want way work
    cosa forma funciona funcionan funcionar gran grande hace hacen hacer llama manera mejor necesita necesito permite
    permiten posible puedes sirve soporta tipo usa usar utiliza";

/// A sentence of a passage, with how well it answers.
#[derive(Clone, Debug)]
pub(super) struct Ranked {
    /// The index of its passage.
    pub(super) passage: usize,
    /// The sentence, as it stands there.
    pub(super) text: String,
    /// How good it is compared to others.
    pub(super) score: f32,
}

/// Returns the sentences that answer a question, best first; empty if none does.
pub(super) fn rank(question: &str, passages: &[Passage]) -> Vec<Ranked> {
    let terms = terms_of(question);
    if terms.is_empty() {
        return Vec::new();
    }
    let candidates: Vec<Candidate> =
        passages.iter().enumerate().flat_map(|(index, passage)| candidates_of(index, passage, &terms)).collect();
    let rarities = rarities_of(&terms, &candidates);
    let wants_number = asks_for_a_number(question);
    let nearest = passages.iter().map(|passage| passage.similarity).fold(f32::EPSILON, f32::max);
    let all_met: Vec<bool> = (0..passages.len()).map(|passage| holds_all(passage, &candidates, &terms)).collect();
    let answers = candidates.iter().filter(|candidate| {
        let similarity = passages[candidate.passage].similarity;
        candidate.is_on_subject && coverage(candidate, &terms) >= enough(similarity, all_met[candidate.passage])
    });
    let mut ranked: Vec<Ranked> = answers
        .map(|candidate| {
            // The retriever knows meaning where this knows only words: what it found far behind is trusted less.
            let nearness = (passages[candidate.passage].similarity / nearest).clamp(0.3, 1.0);
            let score = nearness * nearness * score_of(candidate, &terms, &rarities, wants_number);
            Ranked { passage: candidate.passage, text: candidate.text.to_owned(), score }
        })
        .collect();
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
    ranked
}

/// Tells whether every word that is asked for stands somewhere in a passage.
fn holds_all(passage: usize, candidates: &[Candidate], terms: &[Term]) -> bool {
    let of_passage: Vec<_> = candidates.iter().filter(|candidate| candidate.passage == passage).collect();
    let found = |at: usize| of_passage.iter().any(|candidate| candidate.matches[at] > 0.5);
    terms.iter().enumerate().all(|(at, term)| term.weight < 1.0 || found(at))
}

/// Returns the coverage asked for. There is no relief when a word that is asked for stands nowhere in the passage.
fn enough(similarity: f32, all_met: bool) -> f32 {
    if similarity < FAR {
        return ENOUGH_FROM_AFAR;
    }
    if !all_met {
        return ENOUGH;
    }
    (ENOUGH - RELIEF * (similarity - SIMILAR).max(0.0)).max(LEAST)
}

/// How much of what is asked a candidate holds, from 0 to 1.
///
/// A name that it holds says that it is about the right thing, not that it answers: "What does the Albatross cost?" is not
/// answered by any sentence about the Albatross. So a name that is met does not count where anything else is asked; one
/// that is not met does.
fn coverage(candidate: &Candidate, terms: &[Term]) -> f32 {
    let more_is_asked = terms.iter().any(|term| !term.is_name && term.weight >= 1.0);
    let (mut covered, mut total) = (0.0, 0.0);
    for (term, found) in terms.iter().zip(&candidate.matches) {
        if more_is_asked && term.is_name && *found > 0.5 {
            continue;
        }
        let weight = if term.is_name && *found < 0.5 { MISSING_NAME } else { term.weight };
        covered += weight * found;
        total += weight;
    }
    if total > 0.0 { covered / total } else { 0.0 }
}

/// A word that the question is about.
struct Term {
    stem: String,
    weight: f32,
    /// It is written as a name.
    is_name: bool,
}

fn terms_of(question: &str) -> Vec<Term> {
    let words = words::words(question);
    let vague: Vec<String> = VAGUE.split_whitespace().map(stem_of).collect();
    // In a question written in capitals a capital says nothing.
    let shouted = words.iter().filter(|word| word.capital).count() * 2 > words.len();
    let mut terms: Vec<Term> = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let stem = word.stem();
        if word.is_stop() || terms.iter().any(|term| term.stem == stem) {
            continue;
        }
        let after_how = index > 0 && words[index - 1].folded == "how" && !word.capital;
        let is_name = word.capital && index > 0 && !shouted;
        let weight = if vague.contains(&stem) || after_how {
            0.3
        } else if word.has_digit() || is_name {
            1.5
        } else {
            1.0
        };
        terms.push(Term { stem, weight, is_name });
    }
    terms
}

fn stem_of(word: &str) -> String {
    Word { folded: word.to_owned(), capital: false }.stem()
}

struct Candidate<'a> {
    passage: usize,
    text: &'a str,
    length: usize,
    has_number: bool,
    kind: Kind,
    /// How well each term is met, from 0 to 1, context included.
    matches: Vec<f32>,
    /// It or its heading meets a term (a title alone does not make each sentence of a document an answer), and it is
    /// more than a caption that repeats the question's words.
    is_on_subject: bool,
}

fn candidates_of<'a>(index: usize, passage: &'a Passage, terms: &[Term]) -> Vec<Candidate<'a>> {
    let title = met_by(&words::content_stems(&passage.title), terms);
    let nothing = vec![0.0; terms.len()];
    let (mut before, mut before_intro) = (nothing.clone(), nothing);
    let mut candidates = Vec::new();
    for sentence in sentences(&passage.text) {
        let text = &passage.text[sentence.range];
        let all = words::words(text);
        let stems: Vec<String> = all.iter().filter(|word| !word.is_stop()).map(Word::stem).collect();
        let own = met_by(&stems, terms);
        let above = |range| met_by(&words::content_stems(&passage.text[range]), terms);
        let heading = sentence.heading.map(above);
        let intro = sentence.intro.map(above);
        // The items of a list follow on what was said before the list, each of them.
        let previous = if intro.is_some() { &before_intro } else { &before };
        let matches = (0..terms.len()).map(|term| {
            let of = |context: &Option<Vec<f32>>| context.as_ref().map_or(0.0, |context| context[term]);
            let above = of(&heading).max(of(&intro)).max(title[term]);
            own[term].max(ABOVE * above).max(BEFORE * previous[term])
        });
        candidates.push(Candidate {
            passage: index,
            text,
            length: all.len(),
            has_number: all.iter().any(Word::has_digit),
            kind: sentence.kind,
            matches: matches.collect(),
            is_on_subject: own.iter().chain(heading.iter().flatten()).any(|found| *found > 0.0)
                && (text.ends_with('.') || all.iter().any(|word| is_news(word, terms))),
        });
        if sentence.kind == Kind::Intro {
            before_intro.clone_from(&before);
        }
        before = own;
    }
    candidates
}

fn is_news(word: &Word, terms: &[Term]) -> bool {
    !word.is_stop() && terms.iter().all(|term| kinship(&term.stem, &word.stem()) <= 0.0)
}

fn met_by(stems: &[String], terms: &[Term]) -> Vec<f32> {
    terms.iter().map(|term| met(&term.stem, stems)).collect()
}

fn met(stem: &str, stems: &[String]) -> f32 {
    stems.iter().map(|other| kinship(stem, other)).fold(0.0, f32::max)
}

/// How much each term tells sentences apart; within bounds, as a handful of sentences is a small sample.
fn rarities_of(terms: &[Term], candidates: &[Candidate]) -> Vec<f32> {
    let count = as_f32(candidates.len());
    let rarity = |index: usize| {
        let having: f32 = as_f32(candidates.iter().filter(|candidate| candidate.matches[index] > 0.5).count());
        (1.0 + (count - having + 0.5) / (having + 0.5)).ln().clamp(0.5, 2.5)
    };
    (0..terms.len()).map(rarity).collect()
}

fn score_of(candidate: &Candidate, terms: &[Term], rarities: &[f32], wants_number: bool) -> f32 {
    let met = terms.iter().zip(rarities).zip(&candidate.matches);
    let mut score: f32 = met.map(|((term, rarity), found)| term.weight * rarity * found).sum();
    // A sentence of up to about 30 words is a good quotation; two words hardly are one.
    score *= match candidate.length {
        0..=2 if candidate.kind != Kind::Code => 0.6,
        0..=30 => 1.0,
        length => 30.0 / as_f32(length) * 0.5 + 0.5,
    };
    if wants_number && candidate.has_number {
        score *= 1.4;
    }
    if candidate.kind == Kind::Intro || candidate.text.ends_with('?') {
        score *= 0.5;
    }
    score
}

fn asks_for_a_number(question: &str) -> bool {
    let words: HashMap<String, usize> =
        words::words(question).into_iter().enumerate().map(|(index, word)| (word.folded, index)).collect();
    let how = words.get("how").is_some_and(|how| {
        ["many", "much", "long", "large", "big", "often", "old", "high"]
            .iter()
            .any(|word| words.get(*word) == Some(&(how + 1)))
    });
    how || ["when", "cuanto", "cuanta", "cuantos", "cuantas", "cuando"].iter().any(|word| words.contains_key(*word))
}

#[expect(clippy::cast_precision_loss, reason = "counts of words and sentences of a few passages")]
fn as_f32(count: usize) -> f32 {
    count as f32
}
