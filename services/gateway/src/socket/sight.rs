//! What a principal may see of what an agent does for everybody: a credential of one person is shown that person's tasks.

use std::collections::HashMap;

use proto::task::v1::Frame;

use super::proof::Principal;
use crate::tasks;

/// Most tasks that are remembered; then they are looked at anew.
const REMEMBERED: usize = 256;

/// Remembers which tasks may be seen.
pub(super) struct Sight {
    principal: Principal,
    known: HashMap<String, bool>,
}

impl Sight {
    pub(super) fn of(principal: Principal) -> Self {
        Self { principal, known: HashMap::new() }
    }

    /// Tells whether a frame is for the principal, who is nobody in particular most times. What cannot be looked at is not shown.
    pub(super) async fn shows(&mut self, frame: &Frame) -> bool {
        let Ok(caller) = self.principal.caller().await else { return false };
        if caller.user.is_none() {
            return true;
        }
        if let Some(known) = self.known.get(&frame.task_id) {
            return *known;
        }
        let Ok(task) = tasks::parse(&frame.task_id) else { return false };
        let shown = match Box::pin(tasks::find(&self.principal.edge, &caller, task)).await {
            Ok(_) => true,
            Err(failure) if failure.is_transient() => return false,
            Err(_) => false,
        };
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(frame.task_id.clone(), shown);
        shown
    }
}
