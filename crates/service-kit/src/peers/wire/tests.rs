use std::convert::Infallible;

use bytes::Bytes;
use futures::StreamExt as _;
use h2::server::{self, SendResponse};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::body::Body;

use super::{Failed, Sender, open};
use crate::Tasks;

type Server = server::Connection<DuplexStream, Bytes>;
type Call = (Request<h2::RecvStream>, SendResponse<Bytes>);

/// A connection, and who answers at its other end.
async fn connected(builder: &server::Builder) -> (Sender, Server, Tasks) {
    let (near, far) = tokio::io::duplex(1 << 20);
    let tasks = Tasks::default();
    let (sender, server) = tokio::join!(open(near, &tasks), builder.handshake(far));
    (sender.expect("it opens"), server.expect("it opens"), tasks)
}

async fn next(server: &mut Server) -> Call {
    server.accept().await.expect("a call comes").expect("it is one")
}

fn request(body: Body) -> Request<Body> {
    Request::post("http://service/method").body(body).expect("a request")
}

fn whole(message: Vec<u8>) -> Request<Body> {
    request(Body::new(Full::new(Bytes::from(message))))
}

/// Reads a body to its end, and gives its sender room for more.
async fn read(body: &mut h2::RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// Moves the connection of a server that takes no other call.
async fn move_on(mut server: Server) {
    while server.accept().await.is_some() {}
}

#[tokio::test]
async fn a_message_and_its_answer_arrive_with_what_stands_behind_it() {
    let (sender, mut server, tasks) = connected(&server::Builder::new()).await;
    let calling = tasks.spawn(async move { sender.send(whole(b"question".to_vec())).await });
    let (mut call, mut respond) = next(&mut server).await;
    assert_eq!(call.uri().path(), "/method");
    let answering = async {
        assert_eq!(read(call.body_mut()).await.expect("a body"), b"question");
        let mut stream = respond.send_response(Response::new(()), false).expect("a head");
        stream.send_data(Bytes::from_static(b"answer"), false).expect("a body");
        stream
            .send_trailers(HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]))
            .expect("an end");
        calling.await.expect("no panic").expect("an answer").into_body().collect().await.expect("a body")
    };
    let answer =
        tokio::select! { answer = answering => answer, () = move_on(server) => panic!("the connection ended") };
    assert_eq!(answer.trailers().expect("they came")["grpc-status"], "0");
    assert_eq!(answer.to_bytes(), "answer");
}

#[tokio::test]
async fn a_message_that_is_longer_than_the_other_side_takes_at_once_arrives_whole() {
    let mut small = server::Builder::new();
    small.initial_window_size(1000).initial_connection_window_size(70_000);
    let (sender, mut server, tasks) = connected(&small).await;
    let long: Vec<u8> = (0..200_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let message = long.clone();
    let _calling = tasks.spawn(async move { sender.send(whole(message)).await });
    let (mut call, _respond) = next(&mut server).await;
    let read = tokio::select! {
        read = read(call.body_mut()) => read,
        () = move_on(server) => panic!("the connection ended"),
    };
    assert_eq!(read.expect("a body"), long);
}

#[tokio::test]
async fn pieces_are_sent_as_they_come_and_the_answer_need_not_wait_for_the_last() {
    let (sender, mut server, tasks) = connected(&server::Builder::new()).await;
    let (pieces, calling) = calling_bit_by_bit(&sender, &tasks);
    let (mut call, mut respond) = next(&mut server).await;
    let conversation = async {
        let _answering = respond.send_response(Response::new(()), false).expect("a head");
        let _answer = calling.await.expect("no panic").expect("an answer before the body has begun");
        for piece in ["one", "two"] {
            pieces.send(Bytes::from_static(piece.as_bytes())).await.expect("somebody listens");
            let heard = call.body_mut().data().await.expect("there is more").expect("a piece");
            assert_eq!(heard, piece);
        }
        drop(pieces);
        assert_eq!(read(call.body_mut()).await.expect("an end"), b"");
    };
    tokio::select! { () = conversation => {}, () = move_on(server) => panic!("the connection ended") }
}

/// Makes a call whose body comes as it is sent here.
fn calling_bit_by_bit(
    sender: &Sender,
    tasks: &Tasks,
) -> (mpsc::Sender<Bytes>, JoinHandle<Result<Response<Body>, Failed>>) {
    let (pieces, mut coming) = mpsc::channel::<Bytes>(1);
    let coming = futures::stream::poll_fn(move |cx| coming.poll_recv(cx));
    let coming = coming.map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
    let caller = sender.clone();
    let calling = tasks.spawn(async move { caller.send(request(Body::new(StreamBody::new(coming)))).await });
    (pieces, calling)
}

#[tokio::test]
async fn a_body_that_cannot_be_made_and_a_caller_that_goes_away_are_told() {
    let (sender, mut server, tasks) = connected(&server::Builder::new()).await;
    let broken =
        futures::stream::iter([Ok(Frame::data(Bytes::from_static(b"half"))), Err(tonic::Status::internal(""))]);
    let (broken_sender, gone_sender) = (sender.clone(), sender.clone());
    let _broken = tasks.spawn(async move { broken_sender.send(request(Body::new(StreamBody::new(broken)))).await });
    let (mut call, _respond) = next(&mut server).await;
    let gone = tasks.spawn(async move { gone_sender.send(whole(b"question".to_vec())).await.map(drop) });
    let (_call, mut withdrawn) = next(&mut server).await;
    let told = async {
        let error = read(call.body_mut()).await.expect_err("it has no end");
        assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
        gone.abort();
        let reason = std::future::poll_fn(|cx| withdrawn.poll_reset(cx)).await.expect("it is told");
        assert_eq!(reason, h2::Reason::CANCEL);
    };
    tokio::select! { () = told => {}, () = move_on(server) => panic!("the connection ended") }
}

#[tokio::test]
async fn a_caller_that_goes_away_in_the_middle_of_its_body_or_of_the_answer_withdraws_the_call() {
    for is_answered in [false, true] {
        let (sender, mut server, tasks) = connected(&server::Builder::new()).await;
        let (pieces, calling) = calling_bit_by_bit(&sender, &tasks);
        let (mut call, mut respond) = next(&mut server).await;
        let withdrawing = async {
            pieces.send(Bytes::from_static(b"half")).await.expect("somebody listens");
            assert_eq!(call.body_mut().data().await.expect("there is more").expect("a piece"), "half");
            if is_answered {
                let _answering = respond.send_response(Response::new(()), false).expect("a head");
                drop(calling.await.expect("no panic").expect("an answer"));
            } else {
                calling.abort();
            }
            let error = read(call.body_mut()).await.expect_err("it has no end");
            assert_eq!(error.reason(), Some(h2::Reason::CANCEL), "answered: {is_answered}");
        };
        tokio::select! { () = withdrawing => {}, () = move_on(server) => panic!("the connection ended") }
    }
}

#[tokio::test]
async fn what_is_not_sent_is_given_back_and_the_connection_takes_no_more() {
    let (sender, server, _tasks) = connected(&server::Builder::new()).await;
    drop(server);
    sender.closed().await;
    let failed = sender.send(whole(b"question".to_vec())).await.expect_err("nobody is there");
    let unsent = failed.unsent.expect("it is given back");
    assert_eq!(unsent.into_body().collect().await.expect("its body").to_bytes(), "question");
    assert!(sender.is_closed());
}

#[tokio::test]
async fn a_connection_ends_when_those_who_call_and_their_calls_have_ended() {
    let (sender, mut server, tasks) = connected(&server::Builder::new()).await;
    let closed = sender.0.closed.clone();
    let calling = tasks.spawn(async move { sender.send(whole(b"question".to_vec())).await.map(drop) });
    let (_call, mut respond) = next(&mut server).await;
    assert!(!closed.is_cancelled(), "a call is on its way");
    respond.send_response(Response::new(()), true).expect("a head");
    let ending = async {
        calling.await.expect("no panic").expect("an answer");
        closed.cancelled().await;
    };
    tokio::join!(ending, move_on(server));
    assert!(tasks.end(std::time::Duration::from_secs(10)).await, "nothing is left");
}
