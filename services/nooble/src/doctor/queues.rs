//! What contradicts the rules of the queues, and repairing it.

use std::path::Path;

use ::broker::Redis;
use action::Domain;
use anyhow::Result;
use queue::{Config, Queue};

use super::Finding::{self, Broken, Fine};

/// Contradictions that are shown; the rest is counted.
const SHOWN: usize = 3;

/// Looks at the queues on the Redis that is named, or on the one that `nooble up` keeps running over `data_dir`; nothing when
/// there is none.
pub(super) async fn look(url: Option<&str>, data_dir: &Path, repair: bool) -> Option<Finding> {
    let url = url.map(str::to_owned).or_else(|| crate::broker::running(data_dir))?;
    let looked = async {
        // What Redis itself lacks is told by the finding about it.
        let queue = Queue::start(Redis::connect(&url).await?, Config::default()).await?;
        let found = look_at(&queue, repair).await;
        queue.drain().await;
        found
    };
    Some(looked.await.unwrap_or_else(|error| Broken(format!("the queues cannot be looked at: {error:#}"))))
}

async fn look_at(queue: &Queue, repair: bool) -> Result<Finding> {
    let mut found = Vec::new();
    for domain in Domain::ALL {
        found.extend(queue.check(domain).await?.into_iter().map(|text| format!("{domain}: {text}")));
    }
    if found.is_empty() {
        return Ok(Fine("nothing contradicts the rules of the queues".to_owned()));
    }
    let told = found.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    if !repair {
        let many = found.len();
        return Ok(Broken(format!(
            "{many} contradictions in the queues; `nooble doctor --repair` repairs them: {told}"
        )));
    }
    let mut left = 0;
    for domain in Domain::ALL {
        left += queue.repair(domain).await?.len();
    }
    Ok(match left {
        0 => Fine(format!("{} contradictions in the queues were repaired: {told}", found.len())),
        left => Broken(format!("{left} contradictions in the queues remain of {}: {told}", found.len())),
    })
}
