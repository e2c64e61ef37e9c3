//! Whose delivery was told on one socket: a client that resumes is sent final frames again, which are not delivered again.

use std::collections::VecDeque;

use action::TaskId;

/// Tasks that are remembered. Beyond, a delivery may be told twice, which the task's record bears.
const REMEMBERED: usize = 256;

/// The latest tasks whose delivery was told.
#[derive(Debug, Default)]
pub(super) struct Told(VecDeque<TaskId>);

impl Told {
    /// Notes a delivery; tells whether it is the first one of its task.
    pub(super) fn first(&mut self, task: TaskId) -> bool {
        if self.0.contains(&task) {
            return false;
        }
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(task);
        true
    }
}
