//! Decides whether a tenant may act now, counts what it did, and what its tasks took.
//!
//! Keys are those that operators know from the mission, and more beside them, in UTC by Redis' clock:
//!
//! | key | type | lives | holds |
//! |---|---|---|---|
//! | `rate_limit:{tenant}:minute:{epoch/60}` | counter | 60 s | requests admitted in the minute |
//! | `rate_limit:{tenant}:day:{YYYY-MM-DD}` | counter | 86400 s | requests admitted in the day |
//! | `rate_limit:{tenant}:session:{session}:hour:{epoch/3600}` | counter | an hour | requests of the session |
//! | `rate_limit:{tenant}:agent:{agent}:minute|hour|day:…` | counter | its length | requests to an agent with limits of its own |
//! | `rate_limit:{tenant}:address:{ip}:minute:…` | counter | a minute | requests of one address to public agents |
//! | `rate_limit:{tenant}:visits:{ip}:minute:…` | counter | a minute | visits of one address to what the tenant made public |
//! | `rate_limit:{tenant}:tokens:minute|day:…` | counter | its length | tokens reserved or used |
//! | `rate_limit:{tenant}:tasks` | sorted set | the lease | tasks that go on, by when they count as lost |
//! | `rate_limit:{tenant}:reserved` | hash | the lease | when each of them was admitted, and the tokens it reserved |
//! | `rate_limit:{tenant}:settled:{task}` | mark | a day | a task of a tier that reserves nothing was settled |
//! | `rate_limit:{tenant}:counted:{tier}:{process}` | number | an hour | the last batch of usage that a process wrote |
//! | `usage:{tenant}:{date}` | hash | 7 days | `total_requests`, `agent_requests`, `workflow_requests`, `collection_requests`, `query_requests`, `total_tokens` |
//! | `usage:tier:{tier}:{date}` | hash | 30 days | `total_requests` |
//!
//! The part of the calendar in a name comes from the clock inside the script, so the script is given the beginnings. On a Redis
//! Cluster the tenant stands in braces, `rate_limit:{acme}:minute:…` and `usage:{acme}:…`, so that all that is decided
//! together lies in one slot. The tier's usage keeps its name and lies in a slot of its own; it is counted by a second call
//! after the decision, and is one too few when that fails.
//!
//! # What always holds
//!
//! * A decision is one script and one round trip, however many limits there are; on a cluster, counting for the tier is
//!   another one. Requests of a tenant that come while others of it are being decided share the next one, and each is decided as
//!   if it came alone, in their order.
//! * All limits are looked at before any is charged: a refused request costs nothing, in none of them.
//! * Windows are fixed parts of the calendar and end for everyone at the same moment; time comes from Redis.
//! * A task is settled once, however often its end is told: reserved tokens are replaced by those that it took.
//! * While a process knows that a window of requests is used up, it refuses without asking. It forgets that no later than the
//!   window ends.
//! * A tier without limits is never refused, and counted a second later at the latest, without a command per request: once,
//!   also when whoever wrote it was dropped, or the answer got lost.
//! * While Redis does not answer, each process decides by [`Degraded`]; after the first question that took too long no other
//!   one waits.

mod ask;
mod charge;
mod clock;
mod error;
mod local;
mod meter;
mod quota;
mod refusals;
mod store;
mod tiers;
mod together;
mod window;

pub use charge::{AgentLimits, Charge, UsageKind, network};
pub use error::{Error, Exceeded};
pub use local::Degraded;
pub use quota::{Admitted, Config, Quota, Receipt, Spent, Usage};
pub use tiers::{TierLimits, Tiers};
pub use window::Window;
