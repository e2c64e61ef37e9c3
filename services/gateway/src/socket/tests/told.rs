use action::TaskId;

use crate::socket::told::Told;

#[test]
fn a_task_is_told_of_once_and_the_memory_is_bounded() {
    let mut told = Told::default();
    let first = TaskId::new();
    assert!(told.first(first));
    assert!(!told.first(first));
    for _ in 0..255 {
        assert!(told.first(TaskId::new()));
    }
    assert!(!told.first(first), "256 are remembered");
    assert!(told.first(TaskId::new()));
    assert!(told.first(first), "the oldest is forgotten");
}
