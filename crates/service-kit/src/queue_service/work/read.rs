//! Reads what workers say.

use action::{Domain, failure_of};
use fault::{Failure, reason};
use proto::queue::v1 as wire;
use queue::OutsideVerdict as Verdict;
use wire::settle::Verdict as Sent;
use wire::work_request::Message;

use super::super::field::{self, invalid};
use crate::{Caller, Scope};

/// Most credits and leases of a stream together.
pub(super) const MOST_CREDITS: u32 = 1_000;

/// Longest name of a worker.
const LONGEST_NAME: usize = 100;

/// What a worker opens with.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) domain: Domain,
    pub(super) credits: u32,
    pub(super) name: String,
}

/// Reads the first message, and checks that the caller may work on what it asks for.
pub(super) fn opening(caller: &Caller, request: wire::WorkRequest) -> Result<Opening, Failure> {
    let Some(Message::Open(open)) = request.message else {
        return Err(invalid("open", "the first message is `open`"));
    };
    let domain = field::domain(&open.domain)?;
    caller.require(Scope::Worker(domain))?;
    if open.credits > MOST_CREDITS {
        return Err(invalid("credits", format!("`credits` is 0 to {MOST_CREDITS}")));
    }
    if open.worker_name.chars().count() > LONGEST_NAME || open.worker_name.chars().any(char::is_control) {
        let text = format!("`worker_name` has at most {LONGEST_NAME} characters and none that control");
        return Err(invalid("worker_name", text));
    }
    Ok(Opening { domain, credits: open.credits, name: open.worker_name })
}

/// Reads how many more actions are asked for.
pub(super) fn credits(credit: wire::Credit) -> Result<u32, Failure> {
    if (1..=MOST_CREDITS).contains(&credit.credits) {
        Ok(credit.credits)
    } else {
        Err(invalid("credits", format!("`credits` is 1 to {MOST_CREDITS}")))
    }
}

/// What is said to who asks for more than it may.
pub(super) fn too_many() -> Failure {
    invalid("credits", format!("credits and leases of a stream are at most {MOST_CREDITS} together"))
}

/// Reads a verdict; one sentence about one that nothing can end with.
pub(super) fn verdict(verdict: Option<Sent>) -> Result<Verdict, String> {
    match verdict {
        Some(Sent::Complete(complete)) => {
            Ok(Verdict::Completed { result: complete.result, tokens_used: complete.tokens_used.unwrap_or_default() })
        }
        Some(Sent::Fail(fail)) => {
            let error = fail.error.ok_or("`fail.error` is required")?;
            if reason::find(&error.reason).is_none() {
                return Err("`fail.error.reason` is not one of the catalogue's".to_owned());
            }
            Ok(Verdict::Failed { failure: failure_of(&error), retry: fail.retry })
        }
        Some(Sent::Release(_)) => Ok(Verdict::Released),
        Some(Sent::Suspend(_)) => Err("`suspend` is not served by this version".to_owned()),
        None => Err("a verdict is required".to_owned()),
    }
}
