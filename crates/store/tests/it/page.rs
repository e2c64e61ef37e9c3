//! Pages and their tokens.

use fault::Fault as _;
use store::{Page, PageBounds};

const BOUNDS: PageBounds = PageBounds { default: 2, max: 3 };

fn read(list: &'static str, size: i32, token: &str) -> Result<Page, store::Error> {
    Page::read(list, 1, BOUNDS, size, token)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that `Page::finish` asks for")]
fn key(row: &u32) -> Vec<String> {
    vec![row.to_string()]
}

#[test]
fn pages_follow_each_other_until_the_list_ends() {
    let first = read("numbers", 0, "").unwrap();
    assert_eq!((first.limit(), first.after(0)), (3, None));
    let (rows, token) = first.finish(vec![1, 2, 3], key);
    assert_eq!(rows, [1, 2]);
    let second = read("numbers", 0, &token).unwrap();
    assert_eq!(second.after(0), Some("2"));
    assert_eq!(second.after_number(0).unwrap(), Some(2));
    assert_eq!(second.finish(vec![3], key), (vec![3], String::new()));
    let (rows, token) = first.finish_at(1, vec![1, 2, 3], key);
    assert_eq!((rows, token.is_empty()), (vec![1], false), "fewer than a page go into the answer");
    assert_eq!(first.finish_at(9, vec![1, 2], key), (vec![1, 2], String::new()));
}

#[test]
fn as_many_rows_go_into_an_answer_as_have_room_and_one_at_least() {
    const MEGABYTE: usize = 1024 * 1024;
    assert_eq!(store::fitting([]), 1);
    assert_eq!(store::fitting([5 * MEGABYTE, 1]), 1);
    assert_eq!(store::fitting([MEGABYTE, MEGABYTE, 1]), 2);
    assert_eq!(store::fitting([1; 50]), 50);
}

#[test]
fn a_large_wish_is_cut_down_and_a_negative_one_refused() {
    assert_eq!(read("numbers", 1_000, "").unwrap().limit(), 4);
    let failure = read("numbers", -1, "").unwrap_err().failure();
    assert_eq!((failure.reason().id, failure.field_name()), ("INVALID_FIELD", Some("page_size")));
}

#[test]
fn tokens_that_the_list_did_not_return_are_refused() {
    let (_, token) = read("numbers", 0, "").unwrap().finish(vec![1, 2, 3], key);
    let (_, two_parts) = read("words", 0, "").unwrap().finish(vec![1, 2, 3], |_| vec!["a".into(), "b".into()]);
    let long = "A".repeat(2_000);
    for (list, token) in [
        ("letters", token.as_str()),
        ("words", &two_parts),
        ("numbers", "!!"),
        ("numbers", "AAAA"),
        ("numbers", "_____w"),
        ("numbers", &long),
    ] {
        let failure = read(list, 0, token).unwrap_err().failure();
        assert_eq!((failure.reason().id, failure.field_name()), ("INVALID_FIELD", Some("page_token")), "{token}");
    }
}

#[test]
fn a_token_whose_number_is_none_is_refused() {
    let (_, token) = read("numbers", 0, "").unwrap().finish(vec![1, 2, 3], |_| vec!["x".into()]);
    assert!(read("numbers", 0, &token).unwrap().after_number(0).is_err());
}
