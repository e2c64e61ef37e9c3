use futures::FutureExt as _;
use proto::task::v1::frame::Body;
use proto::task::v1::{AgentDelta, AgentResponse, Frame};

use crate::socket::mailbox::{Inlet, Outlet, Push, Rejected, mailbox};

fn piece(task: &str, attempt: u32, seq: u64, text: &str) -> Push {
    let delta = AgentDelta { attempt, index: u32::try_from(seq).unwrap() - 1, text: text.to_owned() };
    let body = Some(Body::AgentDelta(delta));
    Push::Frame(Box::new(Frame { epoch: "e1".to_owned(), seq, task_id: task.to_owned(), body, ..Frame::default() }))
}

fn whole(task: &str, seq: u64) -> Push {
    let body = Some(Body::AgentResponse(AgentResponse { response: "all".to_owned(), ..AgentResponse::default() }));
    Push::Frame(Box::new(Frame { epoch: "e1".to_owned(), seq, task_id: task.to_owned(), body, ..Frame::default() }))
}

fn fill(inlet: &Inlet, pushes: impl IntoIterator<Item = Push>) {
    for push in pushes {
        assert_eq!(inlet.offer(push), Ok(()));
    }
}

/// Returns position and text of everything that waits.
fn waiting(outlet: &mut Outlet) -> Vec<(u64, String)> {
    let mut all = Vec::new();
    while let Some(Some(Push::Frame(frame))) = outlet.next().now_or_never() {
        let text = match frame.body {
            Some(Body::AgentDelta(delta)) => delta.text,
            Some(Body::AgentResponse(answer)) => format!("={}", answer.response),
            other => panic!("{other:?}"),
        };
        all.push((frame.seq, text));
    }
    all
}

fn expected(all: &[(u64, &str)]) -> Vec<(u64, String)> {
    all.iter().map(|(seq, text)| (*seq, (*text).to_owned())).collect()
}

#[test]
fn pieces_stay_as_they_are_while_there_is_room() {
    let (inlet, mut outlet) = mailbox(3, 1 << 20);
    fill(&inlet, [piece("t", 1, 1, "a"), piece("t", 1, 2, "b"), piece("t", 1, 3, "c")]);
    assert_eq!(waiting(&mut outlet), expected(&[(1, "a"), (2, "b"), (3, "c")]));
}

#[test]
fn a_full_mailbox_puts_pieces_together_and_keeps_the_greatest_position() {
    let (inlet, mut outlet) = mailbox(3, 1 << 20);
    fill(&inlet, (1..=50).map(|seq| piece("t", 1, seq, "x")));
    fill(&inlet, [whole("t", 51)]);
    let all = waiting(&mut outlet);
    assert!(all.len() <= 3, "{all:?}");
    assert!(all.is_sorted_by_key(|(seq, _)| *seq), "{all:?}");
    assert_eq!(all.last().unwrap(), &(51, "=all".to_owned()));
    assert_eq!(all.iter().filter(|(seq, _)| *seq < 51).map(|(_, text)| text.len()).sum::<usize>(), 50);
}

#[test]
fn only_pieces_of_one_attempt_that_follow_each_other_are_put_together() {
    let (inlet, mut outlet) = mailbox(4, 1 << 20);
    fill(&inlet, [piece("t", 1, 1, "a"), piece("u", 1, 2, "b"), piece("t", 1, 3, "c"), piece("t", 2, 4, "d")]);
    assert_eq!(inlet.offer(piece("t", 2, 5, "e")), Err(Rejected::Full), "the order of frames is kept");
    assert_eq!(waiting(&mut outlet), expected(&[(1, "a"), (2, "b"), (3, "c"), (4, "d")]));
    let (inlet, mut outlet) = mailbox(2, 1 << 20);
    fill(&inlet, [piece("t", 1, 1, &"x".repeat(20_000)), piece("t", 1, 2, &"y".repeat(20_000))]);
    assert_eq!(inlet.offer(piece("t", 1, 3, "z")), Err(Rejected::Full), "a frame does not grow without end");
    assert_eq!(waiting(&mut outlet).len(), 2);
}

#[test]
fn bytes_are_bounded_however_pieces_are_put_together() {
    let (inlet, mut outlet) = mailbox(2, 1000);
    let mut taken = 0;
    while inlet.offer(piece("t", 1, taken + 1, &"x".repeat(50))).is_ok() {
        taken += 1;
    }
    assert!((5..20).contains(&taken), "{taken}");
    let text: usize = waiting(&mut outlet).iter().map(|(_, text)| text.len()).sum();
    assert_eq!(text as u64, taken * 50);
    assert!(inlet.is_empty() && inlet.offer(piece("t", 1, 99, "again")).is_ok(), "what was taken out makes room");
}

#[tokio::test]
async fn an_end_that_is_gone_is_noticed_by_the_other() {
    let (inlet, outlet) = mailbox(2, 1000);
    drop(outlet);
    assert!(inlet.is_closed());
    assert_eq!(inlet.offer(whole("t", 1)), Err(Rejected::Gone));
    let (inlet, mut outlet) = mailbox(2, 1000);
    fill(&inlet, [whole("t", 1)]);
    drop(inlet);
    assert!(outlet.next().await.is_some(), "what is there is still handed out");
    assert!(outlet.next().await.is_none());
}
