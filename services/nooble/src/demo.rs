//! The demo: four tenants, one per tier, each with an agent that answers from the guide.

mod guide;
mod seed;
mod show;

pub(crate) use seed::seed;
pub(crate) use show::Show;
