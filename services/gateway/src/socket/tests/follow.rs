use proto::orchestrator::v1::connect_request::Command;
use proto::orchestrator::v1::connect_response::Event;
use proto::orchestrator::v1::{Attached, ConnectRequest, ConnectResponse, Delivered, Gap, Refused, Resumed};
use proto::task::v1::Frame;

use crate::socket::Position;
use crate::socket::follow::{Follower, Followers, What};
use crate::socket::mailbox::{Outlet, Push, mailbox};

const SOCKET: u64 = 9;

struct Scene {
    followers: Followers,
    outlet: Outlet,
    channel: u64,
}

impl Scene {
    /// A socket with room for `room` frames that has been told to follow.
    fn new(from: Option<Position>, room: usize) -> (Self, Vec<ConnectRequest>) {
        let (inlet, outlet) = mailbox(room, 1 << 20);
        let mut followers = Followers::default();
        let follower =
            Follower::new("tenant-1".parse().unwrap(), What::Session("session-1".parse().unwrap()), from, inlet);
        followers.insert(SOCKET, follower);
        let requests = followers.attach(SOCKET);
        let channel = requests[0].channel;
        (Self { followers, outlet, channel }, requests)
    }

    fn tell(&mut self, event: Event) -> Option<ConnectRequest> {
        self.followers.handle(ConnectResponse { channel: self.channel, event: Some(event) })
    }

    fn attached(&mut self, after: u64) {
        let attached = Attached { epoch: "e1".to_owned(), top: after, after };
        assert!(self.tell(Event::Attached(attached)).is_none());
    }

    fn frame(&mut self, seq: u64) -> Option<ConnectRequest> {
        self.tell(Event::Frame(Frame { epoch: "e1".to_owned(), seq, ..Frame::default() }))
    }

    /// Attaches again and returns the position that is asked for.
    fn again(&mut self) -> (String, u64) {
        let requests = self.followers.attach(SOCKET);
        self.channel = requests[0].channel;
        match requests[0].command.clone().unwrap() {
            Command::Attach(attach) => (attach.epoch, attach.after),
            other => panic!("{other:?}"),
        }
    }

    fn pushed(&mut self) -> Vec<String> {
        let mut pushed = Vec::new();
        while let Some(Some(push)) = futures::FutureExt::now_or_never(self.outlet.next()) {
            pushed.push(match push {
                Push::Attached(position) => format!("attached {}", position.seq),
                Push::Frame(frame) => frame.seq.to_string(),
                Push::Gap(gap) => format!("gap {}", gap.after),
                Push::Resumed(resumed) => format!("resumed {}", resumed.to),
                Push::Refused(refused) => format!("refused {}", refused.reason),
            });
        }
        pushed
    }
}

fn resumed(to: u64) -> Event {
    Event::Resumed(Resumed { from: 1, to, epoch: "e1".to_owned() })
}

#[test]
fn a_socket_without_a_position_starts_where_the_orchestrator_says() {
    let (mut scene, requests) = Scene::new(None, 8);
    let Some(Command::Attach(attach)) = &requests[0].command else { panic!() };
    assert_eq!((attach.epoch.as_str(), attach.after), ("", 0));
    scene.attached(5);
    scene.frame(6);
    scene.tell(resumed(6));
    assert_eq!(scene.pushed(), ["attached 5", "6"], "a client that did not resume is not told that it has");
}

#[test]
fn a_broken_stream_goes_on_after_the_last_frame_and_the_client_notices_nothing() {
    let (mut scene, _) = Scene::new(None, 8);
    scene.attached(0);
    scene.frame(1);
    scene.frame(2);
    scene.followers.disconnect();
    assert_eq!(scene.again(), ("e1".to_owned(), 2));
    scene.attached(2);
    // An orchestrator that says too much says nothing new.
    scene.frame(2);
    scene.frame(3);
    scene.tell(resumed(3));
    assert_eq!(scene.pushed(), ["attached 0", "1", "2", "3"]);
}

#[test]
fn what_an_earlier_attach_still_sends_is_passed_over() {
    let (mut scene, _) = Scene::new(None, 8);
    scene.attached(0);
    let earlier = scene.channel;
    let requests = scene.followers.resume(SOCKET, Position { epoch: "e1".to_owned(), seq: 0 });
    assert!(matches!(requests[1], ConnectRequest { channel, command: Some(Command::Detach(_)) } if channel == earlier));
    scene.frame(1);
    scene.channel = requests[0].channel;
    scene.attached(0);
    scene.frame(1);
    scene.tell(resumed(1));
    assert_eq!(scene.pushed(), ["attached 0", "1", "resumed 1"]);
}

#[test]
fn a_full_mailbox_leaves_the_rest_in_the_log_and_catches_up_when_it_is_empty() {
    let (mut scene, _) = Scene::new(None, 3);
    scene.attached(0);
    scene.frame(1);
    scene.frame(2);
    let detach = scene.frame(3).expect("the orchestrator is asked to stop");
    assert!(matches!(detach.command, Some(Command::Detach(_))));
    assert!(scene.frame(4).is_none(), "what was under way is passed over");
    assert!(scene.followers.due().is_empty(), "not while the mailbox is full");
    assert_eq!(scene.pushed(), ["attached 0", "1", "2"]);
    assert_eq!(scene.followers.due(), [SOCKET]);
    assert_eq!(scene.again(), ("e1".to_owned(), 2));
    scene.attached(2);
    scene.frame(3);
    assert_eq!(scene.pushed(), ["3"]);
}

#[test]
fn a_frame_larger_than_the_mailbox_fits_into_an_empty_one() {
    let (inlet, mut outlet) = mailbox(4, 10);
    let large = Push::Frame(Box::new(Frame { task_id: "x".repeat(100), ..Frame::default() }));
    assert!(inlet.offer(large.clone()).is_ok());
    assert!(inlet.offer(large.clone()).is_err());
    assert!(futures::FutureExt::now_or_never(outlet.next()).flatten().is_some());
    assert!(inlet.offer(large).is_ok());
}

#[test]
fn a_gap_moves_the_position() {
    let (mut scene, _) = Scene::new(Some(Position { epoch: "e0".to_owned(), seq: 40 }), 8);
    scene.attached(3);
    let (reason, epoch) = ("epoch".to_owned(), "e1".to_owned());
    scene.tell(Event::Gap(Gap { missed_from: 0, missed_to: 0, reason, epoch, after: 3 }));
    scene.frame(4);
    scene.tell(resumed(4));
    assert_eq!(scene.pushed(), ["attached 3", "gap 3", "4", "resumed 4"]);
    assert_eq!(scene.again(), ("e1".to_owned(), 4));
}

#[test]
fn a_passing_refusal_is_met_again_later_and_any_other_ends_the_socket() {
    let refused = |reason: &str| Event::Refused(Refused { reason: reason.to_owned(), message: String::new() });
    let (mut scene, _) = Scene::new(None, 8);
    scene.tell(refused("BROKER_UNAVAILABLE"));
    assert!(scene.followers.any_detached());
    let looks = (1..1000).find(|_| !scene.followers.due().is_empty()).unwrap();
    assert!(looks > 10, "not at once: {looks}");
    scene.again();
    scene.tell(refused("ACCESS_DENIED"));
    assert!(scene.followers.is_empty());
    assert_eq!(scene.pushed(), ["refused ACCESS_DENIED"]);
}

#[test]
fn acknowledgements_and_deliveries_survive_a_broken_stream() {
    let (mut scene, _) = Scene::new(None, 8);
    scene.attached(0);
    scene.frame(1);
    let told = scene.followers.acknowledge(SOCKET, None, 1).unwrap();
    assert!(matches!(told.command, Some(Command::Acknowledge(ack)) if ack.epoch == "e1" && ack.seq == 1));
    scene.followers.disconnect();
    assert!(scene.followers.delivered(SOCKET, Delivered { task_id: "t".to_owned(), at: None }).is_none());
    let commands: Vec<_> = scene.followers.attach(SOCKET).into_iter().filter_map(|request| request.command).collect();
    assert!(
        matches!(commands[..], [Command::Attach(_), Command::Acknowledge(_), Command::Delivered(_)]),
        "{commands:?}"
    );
}

#[test]
fn a_client_that_left_is_forgotten() {
    let (mut scene, _) = Scene::new(None, 8);
    scene.attached(0);
    let (_, nobody) = mailbox(1, 1);
    scene.outlet = nobody;
    let detach = scene.frame(1).unwrap();
    assert!(matches!(detach.command, Some(Command::Detach(_))));
    assert!(scene.followers.is_empty());
}
