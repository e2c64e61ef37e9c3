//! A tenant's limits as the contract has them.

use action::time::duration_to_proto;
use proto::management::v1 as wire;
use quota::Window;

pub(crate) fn to_wire(window: &Window) -> wire::TenantLimit {
    wire::TenantLimit {
        name: window.name.to_owned(),
        limit: window.limit,
        used: window.limit - window.remaining,
        remaining: window.remaining,
        resets_in: (!window.length.is_zero()).then(|| duration_to_proto(window.reset)),
    }
}
