//! What a client says on its socket, and what comes of it.

use std::time::Duration;

use axum::extract::ws::Message;
use fault::{Failure, reason};
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::{Outcome, Session};
use crate::credential::Credential;
use crate::socket::asks;
use crate::socket::close::Close;
use crate::socket::frames::{self, Envelope, ProtocolError};
use crate::socket::greet::verdict;
use crate::socket::line::Line;
use crate::socket::proof::{Principal, Proof};
use crate::socket::request::{Asked, ClientFrame};
use crate::socket::subscriptions::{self, Named, Seen, Subscriptions};

impl Session {
    /// Does what a frame of the client asks for, or begins to.
    pub(super) async fn answer(&mut self, line: &mut Line, message: Message) -> Result<(), Close> {
        let parsed = match message {
            Message::Text(text) => ClientFrame::parse(&text),
            Message::Binary(_) => Err(ProtocolError::new("UNSUPPORTED_TYPE", "frames are JSON texts")),
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => return Ok(()),
        };
        match parsed {
            Ok(ClientFrame::Ping) => line.say(self.principal.addressee.pong().to_json()).await,
            Ok(ClientFrame::Pong) => Ok(()),
            Ok(ClientFrame::Auth(credential)) => self.prove_anew(line, credential).await,
            Ok(ClientFrame::Resume(position)) => {
                self.following.resume(position).await;
                Ok(())
            }
            Ok(ClientFrame::Ack { epoch, seq }) => {
                self.acks.note(epoch, seq);
                self.times.acknowledge_at(self.acks.due());
                Ok(())
            }
            Ok(ClientFrame::Send(asked)) => {
                let request_id = asked.request_id.clone();
                let sending = Box::pin(answered(asks::send(self.principal.clone(), asked)));
                self.begin_errand(line, request_id, sending).await
            }
            Ok(ClientFrame::Cancel(asked)) => {
                let request_id = asked.request_id.clone();
                let cancelling = Box::pin(answered(asks::cancel(self.principal.clone(), asked)));
                self.begin_errand(line, request_id, cancelling).await
            }
            Ok(ClientFrame::Subscribe(asked)) => self.subscribe(line, asked).await,
            Ok(ClientFrame::Unsubscribe(asked)) => self.unsubscribe(line, asked).await,
            Err(error) => line.say(self.principal.addressee.protocol_error(&error).to_json()).await,
        }
    }

    /// Begins something that takes time. It comes in a box, so that a socket that asks for nothing does not hold the room for it.
    async fn begin_errand(
        &mut self,
        line: &mut Line,
        request_id: Option<String>,
        errand: BoxFuture<'static, Outcome>,
    ) -> Result<(), Close> {
        match self.errands.begin(errand) {
            Ok(()) => Ok(()),
            Err(failure) => self.refuse(line, &failure, request_id).await,
        }
    }

    async fn refuse(&mut self, line: &mut Line, failure: &Failure, request_id: Option<String>) -> Result<(), Close> {
        line.say(self.principal.addressee.refusal(failure).about(request_id).to_json()).await
    }

    async fn subscribe(&mut self, line: &mut Line, asked: Asked) -> Result<(), Close> {
        let Asked { request_id, fields } = asked;
        let named = Named::parse(&fields);
        let named = named.and_then(|named| self.subscriptions.room_for(&named).map(|()| named));
        let named = match named {
            Ok(named) => named,
            Err(failure) => return self.refuse(line, &failure, request_id).await,
        };
        let (principal, about) = (self.principal.clone(), request_id.clone());
        let looking = Box::pin(async move {
            match subscriptions::look_up(&principal, named).await {
                Ok(granted) => Outcome::Granted(granted, principal.proof, about),
                Err(failure) => Outcome::Answer(Box::new(principal.addressee.refusal(&failure).about(about))),
            }
        });
        self.begin_errand(line, request_id, looking).await
    }

    async fn unsubscribe(&mut self, line: &mut Line, asked: Asked) -> Result<(), Close> {
        match Named::parse(&asked.fields) {
            Ok(named) => self.subscriptions.leave_all(&named),
            Err(failure) => return self.refuse(line, &failure, asked.request_id).await,
        }
        self.say_subscribed(line, asked.request_id).await
    }

    async fn say_subscribed(&mut self, line: &mut Line, request_id: Option<String>) -> Result<(), Close> {
        let (tasks, agents) = (self.subscriptions.tasks(), self.subscriptions.agents());
        let subscribed = self.principal.addressee.subscribed(&tasks, &agents);
        line.say(subscribed.about(request_id).to_json()).await
    }

    /// Tells what came of something that the client asked for.
    pub(super) async fn done(&mut self, line: &mut Line, outcome: Outcome) -> Result<(), Close> {
        match outcome {
            Outcome::Answer(answer) => line.say(answer.to_json()).await,
            Outcome::Granted(_, asked, request_id) if self.principal.proof.is_narrower(&asked) => {
                let text = "another credential came meanwhile; subscribe again";
                let failure = Failure::new(&reason::UNAVAILABLE, text).retry_after(Duration::from_secs(1));
                self.refuse(line, &failure, request_id).await
            }
            Outcome::Granted(granted, _, request_id) => match self.subscriptions.add(&self.principal, granted) {
                Ok(()) => self.say_subscribed(line, request_id).await,
                Err(failure) => self.refuse(line, &failure, request_id).await,
            },
        }
    }

    /// Tells what came of everything that is under way.
    pub(super) async fn finish(&mut self, line: &mut Line) -> Result<(), Close> {
        while let Some(outcome) = self.errands.next().await {
            self.done(line, outcome).await?;
        }
        Ok(())
    }

    /// Writes a frame of another log.
    pub(super) async fn forward(&mut self, line: &mut Line, seen: Seen) -> Result<(), Close> {
        let (frame, to) = match seen {
            Seen::OfTask(frame) => (frame, "task"),
            Seen::OfAgent(frame) => (frame, "agent"),
            Seen::TaskOver(task) => {
                self.subscriptions.leave(task);
                return Ok(());
            }
            Seen::AgentOver(agent) => {
                self.subscriptions.leave_agent(&agent);
                return Ok(());
            }
        };
        let Some(envelope) = frames::render(*frame) else { return Ok(()) };
        telemetry::metric::session::pushed(envelope.kind());
        line.say(envelope.subscribed(to).to_json()).await
    }

    /// Takes another credential of the same tenant in place of the one the socket was opened with.
    async fn prove_anew(&mut self, line: &mut Line, credential: Credential) -> Result<(), Close> {
        // Whom it was of stays who it is.
        let proof = Proof::by(credential, self.principal.proof.user.clone());
        let principal = Principal { proof, ..self.principal.clone() };
        match Box::pin(principal.prove()).await {
            Ok(caller) => {
                let proof = principal.proof.clone().of(&caller);
                let is_narrower = proof.is_narrower(&self.principal.proof);
                self.principal = Principal { proof, ..principal };
                // Its end is not known yet.
                self.times.doubt_at(Instant::now());
                if !is_narrower {
                    return Ok(());
                }
                // What was granted to another credential need not be granted to one that reaches less.
                self.subscriptions = Subscriptions::new();
                self.say_subscribed(line, None).await
            }
            Err(failure) => {
                line.say(self.principal.addressee.protocol_error(&ProtocolError::from(&failure)).to_json()).await?;
                if failure.is_transient() { Ok(()) } else { Err(verdict(&failure)) }
            }
        }
    }
}

async fn answered(answer: impl Future<Output = Envelope>) -> Outcome {
    Outcome::Answer(Box::new(answer.await))
}
