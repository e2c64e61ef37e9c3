use std::time::Duration;

use tokio::time::Instant;

use crate::socket::acks::{Ack, Acks};

fn ack(epoch: &str, seq: u64) -> Ack {
    Ack { epoch: Some(epoch.to_owned()), seq }
}

#[test]
fn the_first_ack_is_due_at_once_and_the_next_a_while_later() {
    let begin = Instant::now();
    let mut acks = Acks::new(begin);
    assert_eq!((acks.due(), acks.take(begin)), (None, None));
    acks.show("e1");
    acks.note(None, 1);
    assert_eq!(acks.due(), Some(begin));
    assert_eq!(acks.take(begin), Some(ack("e1", 1)));
    assert_eq!(acks.due(), None, "nothing is told twice");
    acks.note(None, 2);
    assert_eq!(acks.due(), Some(begin + Duration::from_millis(250)));
}

#[test]
fn the_greatest_ack_is_told_whatever_the_order() {
    let now = Instant::now();
    let mut acks = Acks::new(now);
    acks.show("e1");
    for seq in [3, 9, 4] {
        acks.note(None, seq);
    }
    acks.note(Some("e1".to_owned()), 7);
    assert_eq!(acks.take(now), Some(ack("e1", 9)));
}

#[test]
fn an_ack_belongs_to_the_numbering_that_was_shown_when_it_came() {
    let now = Instant::now();
    let mut acks = Acks::new(now);
    acks.note(None, 5);
    assert_eq!(acks.take(now), Some(Ack { epoch: None, seq: 5 }));
    acks.show("e1");
    acks.note(None, 100);
    acks.show("e2");
    assert_eq!(acks.clone().take(now), Some(ack("e1", 100)));
    acks.note(None, 3);
    assert_eq!(acks.take(now), Some(ack("e2", 3)), "numbers of two numberings are not compared");
}
