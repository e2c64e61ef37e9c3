//! Visits of people who have proved nothing, to what a tenant made public.

use std::net::IpAddr;
use std::sync::Arc;

use action::TenantId;
use telemetry::metric::limit;

use super::Quota;
use crate::ask::Verdict;
use crate::charge::{Plan, Scope, network};
use crate::window::windows;
use crate::{Error, Window};

/// What stands for the tier of somebody who has none.
const VISITOR: &str = "visitor";

impl Quota {
    /// Counts a visit of an address to the tenant that it names, over all processes, or refuses it. It is no usage of the
    /// tenant's, who need not exist, and costs it nothing. While Redis is away this process admits its share on its own. Returns
    /// what the address has left.
    pub async fn visit(&self, tenant: &TenantId, address: IpAddr, per_minute: u32) -> Result<Vec<Window>, Error> {
        let scope = Scope::Visitor(network(address));
        let plan = Arc::new(Plan::of_visit(&scope, per_minute));
        if let Some(refusal) = self.mind.refusals.find(tenant, &plan, self.clock.ms()) {
            limit::decided(VISITOR, "refused_local");
            return Err(refusal);
        }
        let (decided, admitted) = self.decide_visit((tenant, &scope), &plan).await;
        let outcome = match &decided {
            Ok(_) => admitted,
            Err(Error::Exceeded(_)) => "refused_visits",
            Err(_) => "unavailable",
        };
        limit::decided(VISITOR, outcome);
        decided
    }

    /// Decides, and says what it is called when it is admitted.
    async fn decide_visit(
        &self,
        of: (&TenantId, &Scope),
        plan: &Arc<Plan>,
    ) -> (Result<Vec<Window>, Error>, &'static str) {
        let asked = self.clock.ms();
        match self.in_time(|| self.store.visit(of.0, Arc::clone(plan), self.clock.for_scripts())).await {
            Ok(answer) => {
                let windows = windows(plan, answer.tasks, &answer.windows);
                let is_refused = answer.verdict == Verdict::Refused;
                (if is_refused { Err(self.refuse(of.0, plan, windows, asked)) } else { Ok(windows) }, "admitted")
            }
            Err(error @ Error::Malformed(_)) => (Err(error), "admitted"),
            Err(_) => {
                let admitted = self.mind.visitors.admit(of, plan, self.config.degraded_percent, asked);
                (admitted, "admitted_degraded")
            }
        }
    }
}
