//! Reading a piece of a log.

use action::time;
use broker::Redis;
use prost::Message as _;
use proto::task::v1::Frame;

use crate::append::millis;
use crate::log::Keys;
use crate::scripts::{Scripts, new_epoch, number};
use crate::{Config, Error, Gap, GapReason, Page, Start};

/// What the script for reading answers, in its order.
type Answer = (String, u64, u64, u64, String, u64, u64, Vec<redis::Value>);

/// Reads at most `limit` positions; with a `node`, that process follows from now on.
pub(crate) async fn page(
    redis: &Redis,
    scripts: &Scripts,
    config: &Config,
    keys: &Keys,
    from: &Start,
    limit: usize,
    node: &str,
) -> Result<Page, Error> {
    let (mode, epoch, seq) = match from {
        Start::Acknowledged => ("acked", "", 0),
        Start::After(position) => ("after", position.epoch.as_str(), position.seq),
        Start::Beginning => ("begin", "", 0),
        Start::Now => ("now", "", 0),
    };
    let arguments = [
        new_epoch(),
        mode.as_bytes().to_vec(),
        epoch.as_bytes().to_vec(),
        number(seq),
        number(limit.max(1)),
        node.as_bytes().to_vec(),
        number(millis(config.lease)),
        number(millis(config.retention_free)),
    ];
    let answer: Answer = redis.run(&scripts.read, &[&keys.meta, &keys.log, &keys.nodes], &arguments).await?;
    let (epoch, top, after, upto, reason, missed_from, missed_to, entries) = answer;
    let missed = (missed_from > 0).then_some(missed_from..=missed_to);
    let gap = reason_of(&reason)?.map(|reason| Gap { missed, reason, epoch: epoch.clone(), after });
    let frames = entries.chunks(3).map(|entry| frame(&epoch, entry)).collect::<Result<_, _>>()?;
    Ok(Page { epoch, top, after, upto, frames, gap })
}

fn reason_of(word: &str) -> Result<Option<GapReason>, Error> {
    match word {
        "" => Ok(None),
        "expired" => Ok(Some(GapReason::Expired)),
        "trimmed" => Ok(Some(GapReason::Trimmed)),
        "epoch" => Ok(Some(GapReason::Epoch)),
        _ => Err(Error::Malformed("not a reason")),
    }
}

fn frame(epoch: &str, entry: &[redis::Value]) -> Result<Frame, Error> {
    let [redis::Value::Int(seq), redis::Value::Int(at), redis::Value::BulkString(body)] = entry else {
        return Err(Error::Malformed("not an entry"));
    };
    complete(body, epoch, u64::try_from(*seq).unwrap_or_default(), u64::try_from(*at).unwrap_or_default())
}

/// Decodes a stored frame and fills what the log knows about it.
pub(crate) fn complete(body: &[u8], epoch: &str, seq: u64, at: u64) -> Result<Frame, Error> {
    let mut frame = Frame::decode(body).map_err(|_| Error::Malformed("not a frame"))?;
    epoch.clone_into(&mut frame.epoch);
    frame.seq = seq;
    frame.at = Some(time::from_unix_ms(at));
    Ok(frame)
}
