use futures::{FutureExt as _, StreamExt as _};

use super::{Extractive, NO_MODEL};
use crate::{Finish, LanguageModel as _, NOT_FOUND, Passage, Piece, Prompt, Role, Turn, collect};

const GUIDE: [(&str, &str); 6] = [
    (
        "Limits",
        "## Request limits\n\nEvery tier has a limit of requests per minute. The limits are:\n\n- free: 10 requests a \
         minute\n- advance: 100 requests a minute\n- professional: 1,000 requests a minute\n- enterprise: 10,000 requests \
         a minute\n\nA request beyond the limit is answered with status 429 and the header Retry-After.",
    ),
    (
        "Documents",
        "## Uploading documents\n\nDocuments are uploaded with a multipart request. Text, Markdown, HTML and PDF are\n\
         accepted. A document may have at most 5 MB in the free tier. Encrypted PDFs are refused, as they cannot be \
         read.",
    ),
    (
        "Workers",
        "When a worker is killed, its lease runs out after 30 seconds. Another worker then takes the task over and the \
         client sees exactly one final answer. A worker that stops in an orderly way finishes its tasks first.",
    ),
    (
        "Keys",
        "## API keys\n\nAn API key is shown once, when it is created. A lost key cannot be recovered; revoke it and \
         create another. Keys are sent in the Authorization header, e.g. as a Bearer token.",
    ),
    (
        "Guía",
        "El plan gratuito permite diez peticiones por minuto. Las claves se crean en la consola de administración. Los \
         documentos cifrados se rechazan.",
    ),
    (
        "Installation",
        "# Installation\n\nRun the following command:\n\n```sh\nmake up\n```\n\nIt needs Python 3 with pip.",
    ),
];

fn guide() -> Vec<Passage> {
    let passage = |(title, text): &(&str, &str)| Passage {
        title: (*title).to_owned(),
        text: (*text).to_owned(),
        similarity: 0.4,
    };
    GUIDE.iter().map(passage).collect()
}

fn ask(prompt: Prompt) -> (String, Finish) {
    let answer = async { collect(Extractive.answer(prompt).await?).await };
    answer.now_or_never().expect("it waits for nothing").expect("it cannot fail")
}

fn ask_guide(question: &str) -> (String, Finish) {
    ask(Prompt { question: question.to_owned(), passages: Some(guide()), ..Prompt::default() })
}

/// Question, what the answer contains, the passage it is from.
const ANSWERABLE: [(&str, &str, usize); 20] = [
    ("How many requests a minute has the free tier?", "free: 10 requests a minute", 0),
    ("How many requests per minute may an enterprise tenant make?", "enterprise: 10,000 requests a minute", 0),
    ("What is the limit of the professional tier?", "professional: 1,000 requests a minute", 0),
    ("Which status answers a request beyond the limit?", "status 429", 0),
    ("What happens if I exceed the request limit?", "429", 0),
    ("Which document formats are accepted?", "Text, Markdown, HTML and PDF", 1),
    ("How large may a document be in the free tier?", "at most 5 MB", 1),
    ("Can I upload an encrypted PDF?", "Encrypted PDFs are refused", 1),
    ("How are documents uploaded?", "multipart request", 1),
    ("What happens when a worker is killed?", "its lease runs out after 30 seconds", 2),
    ("After how many seconds does the lease of a killed worker run out?", "30 seconds", 2),
    ("Who takes over the task of a killed worker?", "Another worker then takes the task over", 2),
    ("Can a lost key be recovered?", "A lost key cannot be recovered", 3),
    ("When is an API key shown?", "An API key is shown once", 3),
    ("I lost my API key, what now?", "A lost key cannot be recovered", 3),
    ("In which header are keys sent?", "Authorization header", 3),
    ("¿Cuántas peticiones por minuto permite el plan gratuito?", "diez peticiones por minuto", 4),
    ("¿Dónde se crean las claves?", "consola de administración", 4),
    ("How do I install it?", "make up", 5),
    ("Does the installation need Python?", "Python 3", 5),
];

const UNANSWERABLE: [&str; 13] = [
    "What is the capital of France?",
    "Who is the president of the company?",
    "How do I cook paella?",
    "What does the enterprise tier cost in euros?",
    "Which database stores the invoices?",
    "Is there a mobile application for Android?",
    "When was the company founded?",
    "How do I reset my password by e-mail?",
    "¿Cuál es la receta de la tortilla?",
    "¿Quién ganó el mundial de 2010?",
    "What colour is the sky over Madrid?",
    "What is it?",
    "",
];

#[test]
fn questions_are_answered_from_the_right_passage_or_not_at_all() {
    let mut wrong = Vec::new();
    for (question, expected, passage) in ANSWERABLE {
        let (text, finish) = ask_guide(question);
        if !text.contains(expected) || !finish.cited.contains(&passage) {
            wrong.push(format!("{question} -> {text:?} from {:?}", finish.cited));
        }
    }
    for question in UNANSWERABLE {
        let (text, _) = ask_guide(question);
        if text != NOT_FOUND {
            wrong.push(format!("{question} -> {text:?}, though the guide does not say"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_best_sentence_comes_first() {
    for (question, expected, _) in ANSWERABLE {
        let (text, _) = ask_guide(question);
        let first = text.lines().next().unwrap_or_default();
        let wrapped = text.lines().take(2).collect::<Vec<_>>().join("\n");
        assert!(first.contains(expected) || wrapped.contains(expected), "{question} -> {text}");
    }
}

#[test]
fn every_sentence_stands_letter_by_letter_in_a_cited_passage() {
    for (question, _, _) in ANSWERABLE {
        let answer =
            Extractive.answer(Prompt { question: question.to_owned(), passages: Some(guide()), ..Prompt::default() });
        let pieces: Vec<_> = async { answer.await.expect("it cannot fail").collect::<Vec<_>>().await }
            .now_or_never()
            .expect("it waits for nothing");
        let Some(Ok(Piece::Done(finish))) = pieces.last() else { panic!("{question} has no end") };
        assert!(finish.found && !finish.cited.is_empty());
        for piece in &pieces[..pieces.len() - 1] {
            let Ok(Piece::Delta(sentence)) = piece else { panic!("{question} has two ends") };
            let sentence = sentence.trim_start_matches('\n');
            assert!(finish.cited.iter().any(|index| GUIDE[*index].1.contains(sentence)), "{sentence:?}");
        }
    }
}

#[test]
fn nothing_relevant_is_said_in_one_plain_sentence() {
    for passages in [guide(), Vec::new()] {
        let question = "What is the capital of France?".to_owned();
        let (text, finish) = ask(Prompt { question, passages: Some(passages), ..Prompt::default() });
        assert_eq!(text, NOT_FOUND);
        assert!(!finish.found && finish.cited.is_empty());
        assert_eq!(finish.model, "extractive");
    }
}

#[test]
fn a_sentence_about_the_right_thing_is_no_answer_to_another_question_about_it() {
    let text = "Project Albatross\n\nThe Albatross drone was designed by Ines Ferrer in Valencia. It carries a payload of 14 \
                kilograms and flies for 95 minutes on one charge.\n\nWarranty claims are sent to the service centre in Porto.";
    let ask_about = |question: &str, similarity| {
        let passage =
            |title: &str, text: &str, similarity| Passage { title: title.into(), text: text.into(), similarity };
        let other = passage("Prices", "A refused call costs nothing. The cup is won by the fastest.", 0.2);
        let passages = Some(vec![passage("Albatross", text, similarity), other]);
        ask(Prompt { question: question.to_owned(), passages, ..Prompt::default() }).0
    };
    for question in
        ["What does the Albatross drone cost?", "Who designed the Zeppelin drone?", "Who won the Albatross cup?"]
    {
        assert_eq!(ask_about(question, 0.5), NOT_FOUND, "{question}");
    }
    // What the retriever found far away must agree in almost every word.
    for (question, similarity, expected) in [
        ("Who designed the Albatross?", 0.5, "Ines Ferrer"),
        ("How long does the Albatross drone fly on one charge?", 0.5, "95 minutes"),
        ("Where are warranty claims sent?", 0.15, "Porto"),
        ("How many kilograms can it carry?", 0.1, "14"),
    ] {
        let found = ask_about(question, similarity);
        assert!(found.contains(expected), "{question} -> {found}");
    }
    assert_eq!(ask_about("Where are claims about the weather sent?", 0.1), NOT_FOUND);
}

#[test]
fn a_caption_that_repeats_the_question_is_no_answer() {
    let passage = |text: &str| Passage { text: text.to_owned(), similarity: 0.4, ..Passage::default() };
    let question = "What is the format of callbacks?".to_owned();
    let passages = Some(vec![passage("Format of callbacks\n\nOther matters are told elsewhere.")]);
    assert_eq!(ask(Prompt { question, passages, ..Prompt::default() }).0, NOT_FOUND);
}

#[test]
fn of_sentences_as_good_the_one_that_the_retriever_found_nearer_comes_first() {
    let passage = |text: &str, similarity| Passage { text: text.to_owned(), similarity, ..Passage::default() };
    let question = "Which port does the gateway use?".to_owned();
    let passages = vec![
        passage("The gateway of the old town has a port.", 0.25),
        passage("The gateway listens on port 8008.", 0.5),
    ];
    let (text, finish) = ask(Prompt { question, passages: Some(passages), ..Prompt::default() });
    assert_eq!((text.as_str(), finish.cited.as_slice()), ("The gateway listens on port 8008.", [1].as_slice()));
}

#[test]
fn the_same_sentence_from_overlapping_passages_is_said_once() {
    let mut passages = guide();
    passages.push(passages[2].clone());
    let question = "What happens when a worker is killed?".to_owned();
    let (text, _) = ask(Prompt { question, passages: Some(passages), ..Prompt::default() });
    assert_eq!(text.matches("its lease runs out").count(), 1, "{text}");
}

#[test]
fn the_length_allowed_is_kept_after_the_first_sentence() {
    let ask = |max_tokens| {
        let question = "How many requests per minute are allowed in each tier?".to_owned();
        ask(Prompt { question, passages: Some(guide()), max_tokens, ..Prompt::default() })
    };
    let (free, _) = ask(0);
    let (short, finish) = ask(1);
    assert!(free.lines().count() > 1, "{free}");
    assert_eq!(short.lines().count(), 1);
    assert!(finish.truncated);
    assert_eq!(finish.usage.total, finish.usage.input + finish.usage.output);
}

#[test]
fn without_documents_it_quotes_its_instructions_and_the_conversation_or_says_what_is_missing() {
    let system = "You are the assistant of the museum. The museum opens at ten in the morning.".to_owned();
    let history = vec![
        Turn { role: Role::User, text: "My ticket number is 4711.".to_owned() },
        Turn { role: Role::Assistant, text: NO_MODEL.to_owned() },
        Turn { role: Role::User, text: "When does the museum open?".to_owned() },
    ];
    let ask = |question: &str| {
        ask(Prompt {
            system: system.clone(),
            history: history.clone(),
            question: question.to_owned(),
            ..Prompt::default()
        })
    };
    let (text, finish) = ask("When does the museum open?");
    assert_eq!(text, "The museum opens at ten in the morning.");
    assert!(finish.found && finish.cited.is_empty());
    assert_eq!(ask("What is my ticket number?").0, "My ticket number is 4711.");
    let (text, finish) = ask("Write me a poem about spring");
    assert_eq!(text, NO_MODEL);
    assert!(!finish.found);
    for setting in ["LLM_BASE_URL", "LLM_API_KEY", "LLM_MODEL"] {
        assert!(text.contains(setting));
    }
}
