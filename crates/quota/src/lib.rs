//! Decides whether a tenant may act now, and counts what it did.
//!
//! Keys are those that operators know from the mission, in UTC by Redis' clock:
//!
//! | key | type | lives | holds |
//! |---|---|---|---|
//! | `rate_limit:{tenant}:minute:{epoch/60}` | counter | 60 s | requests admitted in the minute |
//! | `rate_limit:{tenant}:day:{YYYY-MM-DD}` | counter | 86400 s | requests admitted in the day |
//! | `usage:{tenant}:{date}` | hash | 7 days | `total_requests`, `agent_requests`, `workflow_requests`, `collection_requests`, `query_requests` |
//! | `usage:tier:{tier}:{date}` | hash | 30 days | `total_requests` |
//!
//! The minute and the date in the names come from the clock inside the script, so the script is given their beginnings.
//! On a Redis Cluster the tenant stands in braces, `rate_limit:{acme}:minute:…` and `usage:{acme}:…`, so that all that is
//! decided together lies in one slot. The tier's usage keeps its name and lies in a slot of its own; it is counted by a
//! second call after the decision, and is one too few when that fails.
//!
//! # What always holds
//!
//! * A decision is one script and one round trip, however many windows there are; on a cluster, counting for the tier is
//!   another one.
//! * All windows are looked at before any is charged: a refused request costs nothing, in no window.
//! * Windows are fixed parts of the calendar and end for everyone at the same moment; time comes from Redis.
//! * A tier without limits is never refused and still counted.

mod admit;
mod error;
mod tiers;

pub use admit::{Admitted, Quota, UsageKind, Window};
pub use error::Error;
pub use tiers::{TierLimits, Tiers};
