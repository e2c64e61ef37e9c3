use clap::Parser as _;
use clap::error::ErrorKind;

use super::*;

#[derive(clap::Parser, Debug)]
struct Line {
    #[command(flatten)]
    dlq: Dlq,
}

fn parse(line: &str) -> Result<Command, clap::Error> {
    let words = std::iter::once("dlq").chain(line.split_whitespace());
    Line::try_parse_from(words).map(|line| line.dlq.command)
}

fn choice(line: &str) -> DeadLetterChoice {
    match parse(line).unwrap() {
        Command::Replay { choice, .. } | Command::Delete { choice, .. } => choice.into(),
        command => panic!("{command:?} chooses nothing"),
    }
}

#[test]
fn a_choice_is_entries_or_what_matches() {
    assert_eq!(choice("replay execution 1-0 2-0").entry_ids, ["1-0", "2-0"]);
    assert!(choice("delete execution --all --yes").all);
    let matching = choice("replay execution --why poison --tenant acme-1 --older-than 7d");
    assert_eq!((matching.why.as_str(), matching.tenant_id.as_str()), ("poison", "acme-1"));
    assert_eq!(matching.older_than, Some(prost_types::Duration { seconds: 604_800, nanos: 0 }));
    for line in [
        "replay execution 1-0 --all",
        "replay execution 1-0 --why poison",
        "delete execution --all --tenant acme-1 --yes",
    ] {
        assert_eq!(parse(line).unwrap_err().kind(), ErrorKind::ArgumentConflict, "{line}");
    }
}

#[test]
fn lists_and_entries_are_named_by_their_domain() {
    parse("list execution --why poison --tenant acme-1 --limit 5 --json").unwrap();
    parse("show execution 1-0").unwrap();
    for line in ["list", "show execution", "replay", "delete"] {
        assert_eq!(parse(line).unwrap_err().kind(), ErrorKind::MissingRequiredArgument, "{line}");
    }
}

#[tokio::test]
async fn a_deletion_that_is_not_confirmed_asks_nobody() {
    let command = parse("delete execution --all --key-file /nowhere").unwrap();
    let refused = Dlq { command }.run().await.unwrap_err();
    assert!(refused.to_string().contains("--yes"), "{refused}");
}
