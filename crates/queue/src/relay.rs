//! Hands outcomes over: from the outbox of the domain where the work ended to whoever wants them.

use std::sync::Arc;
use std::time::Duration;

use telemetry::Instrument as _;

use crate::Error;
use crate::engine::reply_script;
use crate::outcome::Parcel;
use crate::part::Part;
use crate::queue::Inner;
use crate::{keys, stored, trace};

/// The process that settled hands over at once; others wait this long before they step in. As in `lua/entry.lua`.
const AGE: Duration = Duration::from_secs(1);
/// Most outcomes of one sweep.
const MOST: usize = 100;
/// Replies that nobody took out of an inbox in this time belong to a process that is gone.
const INBOX_TTL: Duration = Duration::from_mins(10);

/// Hands one outcome over and strikes it from the outbox. What fails stays there for a sweep.
pub(crate) async fn hand_over(inner: &Arc<Inner>, part: &Arc<Part>, id: &str, parcel: &Parcel) {
    match deliver(inner, part, parcel).await {
        Ok(()) => part.relayed(id),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "an outcome stays in the outbox for now");
        }
    }
}

async fn deliver(inner: &Arc<Inner>, part: &Part, parcel: &Parcel) -> Result<(), Error> {
    match parcel {
        Parcel::Inbox { inbox, callback } => {
            let keys = [inbox.as_str(), &keys::inbox_open(inbox)];
            let arguments = [callback.clone(), INBOX_TTL.as_millis().to_string().into_bytes()];
            if inner.redis.run::<u64>(reply_script(), &keys, &arguments).await? == 0 {
                telemetry::metric::queue::reply_dropped(part.domain.as_str());
                tracing::debug!("a reply is dropped: the process that awaited it is gone");
            }
        }
        Parcel::Callbacks { target, action } => {
            let span = trace::send(action, target);
            let mut action = (**action).clone();
            if let Some(trace) = trace::inside(&span) {
                action.trace = trace;
            }
            let entry = stored::callback_entry(&action, &inner.config)?;
            let home = inner.part(target.domain(), action.tenant.as_str());
            let placed = home.submit(entry).instrument(span).await?;
            if placed.new {
                inner.monitor.enqueued(target, placed.at / 1_000);
                telemetry::metric::queue::enqueued(target.domain().as_str(), action.tier.as_str());
            }
        }
    }
    Ok(())
}

/// Hands over what scripts ended and what other processes settled and did not hand over. Returns when no more is due.
pub(crate) async fn sweep(inner: &Arc<Inner>, part: &Arc<Part>) -> Result<(), Error> {
    loop {
        let found = part.engine.sweep(0, AGE, MOST).await?;
        let count = found.len();
        for (id, bytes) in found {
            match Parcel::decode(part.domain, &id, &bytes) {
                Some(parcel) => hand_over(inner, part, &id, &parcel).await,
                // Nobody wants it, or nobody can be told: the body names no one that could be read.
                None => part.relayed(&id),
            }
        }
        if count < MOST {
            return Ok(());
        }
    }
}
