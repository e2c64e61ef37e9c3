//! What operators do while work goes on, and what they see.

mod dead;
mod rules;
mod spread;

use action::{Domain, TenantId, Tier};
use queue::Selection;

fn queries() -> Selection {
    Selection { domain: Domain::Query, tier: None, tenant: None }
}

fn queries_of(tier: Option<Tier>, tenant: Option<&TenantId>) -> Selection {
    Selection { tier, tenant: tenant.cloned(), ..queries() }
}
