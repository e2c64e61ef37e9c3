//! How many uploads a tenant may have going: one that opens many and sends slowly would keep the disk and the readers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use action::TenantId;
use fault::{Failure, reason};

/// An upload takes about this long.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The uploads that are going, by tenant; a tenant without one takes no room. Cloning shares them.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    most: usize,
    going: Arc<Mutex<HashMap<TenantId, usize>>>,
}

/// An upload that is going; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Turns,
    tenant: TenantId,
}

impl Turns {
    /// Lets a tenant have at most `most` uploads at a time.
    pub(crate) fn new(most: usize) -> Self {
        Self { most: most.max(1), going: Arc::default() }
    }

    /// Begins an upload. Fails with `OVERLOADED` while the tenant has as many as it may.
    pub(crate) fn take(&self, tenant: &TenantId) -> Result<Turn, Failure> {
        let mut going = self.going.lock().unwrap_or_else(PoisonError::into_inner);
        let count = going.entry(tenant.clone()).or_default();
        if *count >= self.most {
            let text = format!("{} uploads are going already; send the next when one has ended", self.most);
            return Err(Failure::new(&reason::OVERLOADED, text).retry_after(RETRY_AFTER));
        }
        *count += 1;
        Ok(Turn { turns: self.clone(), tenant: tenant.clone() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut going = self.turns.going.lock().unwrap_or_else(PoisonError::into_inner);
        let left = going.get(&self.tenant).map_or(0, |count| count - 1);
        if left == 0 {
            going.remove(&self.tenant);
        } else {
            going.insert(self.tenant.clone(), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_so_many_uploads_at_a_time_and_others_have_theirs() {
        let turns = Turns::new(2);
        let (acme, other) = ("acme".parse().unwrap(), "other".parse().unwrap());
        let (first, _second) = (turns.take(&acme).unwrap(), turns.take(&acme).unwrap());
        let refusal = turns.take(&acme).unwrap_err();
        assert_eq!(refusal.reason().id, "OVERLOADED");
        assert!(refusal.retry_delay().is_some());
        drop(turns.take(&other).unwrap());
        drop(first);
        assert!(turns.take(&acme).is_ok());
        assert_eq!(turns.going.lock().unwrap().len(), 1);
    }
}
