//! What a process does all the time: give back what was left, renew what it holds, and report.

use std::collections::HashMap;
use std::time::Duration;

use action::TenantId;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Connections, Inner, Report, Tenant, keys};
use crate::append::millis;
use crate::scripts::number;

/// Time between two reports of changes.
const REPORTS: Duration = Duration::from_secs(1);

impl Connections {
    /// Keeps the leases of this process until `stop`, and gives back whatever is held then. `most` is how many
    /// connections the process may hold, which it reports.
    pub async fn keep(&self, most: usize, stop: CancellationToken) {
        let inner = &self.inner;
        let mut renewals = interval(inner.pace.renewal);
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut report_at: Option<Instant> = None;
        loop {
            let report_due = report_at.unwrap_or_else(Instant::now);
            tokio::select! {
                () = stop.cancelled() => break,
                _ = renewals.tick() => {
                    inner.renew().await;
                    inner.report(most).await;
                }
                () = inner.changed.notified() => {
                    inner.give_back().await;
                    report_at.get_or_insert_with(|| Instant::now() + REPORTS);
                }
                () = sleep_until(report_due), if report_at.is_some() => {
                    report_at = None;
                    inner.report(most).await;
                }
            }
        }
        inner.leave().await;
    }
}

impl Inner {
    /// Tells Redis what was given back, in one round trip. What cannot be told ends with its lease.
    pub(super) async fn give_back(&self) {
        let _telling = self.telling.lock().await;
        let left = std::mem::take(&mut self.held().left);
        if left.is_empty() {
            return;
        }
        let mut pipeline = redis::pipe();
        for (keys, connection) in &left {
            for key in keys {
                pipeline.cmd("ZREM").arg(key).arg(connection).ignore();
            }
        }
        if let Err(error) = self.redis.pipeline::<()>(&pipeline).await {
            tracing::debug!(%error, count = left.len(), "connections that ended count until their leases do");
        }
    }

    /// Renews every lease of this process: one script per tenant, all in one round trip.
    async fn renew(&self) {
        let _telling = self.telling.lock().await;
        let calls: Vec<_> =
            self.held().tenants.iter().map(|(tenant, held)| renewal(self.pace.lease, tenant, held)).collect();
        if calls.is_empty() {
            return;
        }
        let mut pipeline = redis::pipe();
        for (keys, arguments) in &calls {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            pipeline.add_command(self.scripts.renew.whole(&keys, arguments)).ignore();
        }
        if let Err(error) = self.redis.pipeline::<()>(&pipeline).await {
            tracing::warn!(%error, "the leases of connections are not renewed for now");
        }
    }

    async fn report(&self, most: usize) {
        let report = self.own_report(most);
        if let Err(error) = self.exchange(Some(&report.to_text())).await {
            tracing::debug!(%error, "the connections of this process are not reported for now");
        }
    }

    /// Gives back everything: the process ends.
    async fn leave(&self) {
        let everything = std::mem::take(&mut self.held().tenants);
        let left = everything.into_iter().flat_map(|(tenant, held)| {
            held.connections
                .into_iter()
                .map(move |(connection, entry)| (keys(&tenant, entry.user.as_ref()), connection))
        });
        self.held().left.extend(left);
        self.give_back().await;
        if let Err(error) = self.exchange(Some("")).await {
            tracing::debug!(%error, "this process is reported until its lease ends");
        }
    }

    /// Reports, if there is something to, and returns what all processes reported.
    pub(super) async fn exchange(&self, report: Option<&str>) -> Result<Vec<String>, broker::Error> {
        let arguments = report.map(|text| {
            vec![self.node.clone().into_bytes(), number(millis(self.pace.lease)), text.as_bytes().to_vec()]
        });
        self.redis.run(&self.scripts.report, &["{ns}:nodes", "{ns}:reports"], &arguments.unwrap_or_default()).await
    }

    pub(super) fn own_report(&self, most: usize) -> Report {
        let held = self.held();
        let counts = held
            .tenants
            .iter()
            .map(|(tenant, held)| (tenant, held.tier, held.connections.values().filter(|entry| entry.counts).count()));
        Report::new(&self.node, most, counts)
    }
}

/// Returns keys and arguments of the script that renews the leases of one tenant.
fn renewal(lease: Duration, tenant: &TenantId, held: &Tenant) -> (Vec<String>, Vec<Vec<u8>>) {
    let mut names = keys(tenant, None);
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut arguments = vec![number(millis(lease))];
    for (connection, entry) in held.connections.iter().filter(|(_, entry)| entry.counts) {
        arguments.extend([number(1), connection.as_bytes().to_vec()]);
        let Some(user) = &entry.user else { continue };
        let place = *places.entry(user.as_str()).or_insert_with(|| {
            names.extend(keys(tenant, Some(user)).pop());
            names.len()
        });
        arguments.extend([number(place), connection.as_bytes().to_vec()]);
    }
    (names, arguments)
}
