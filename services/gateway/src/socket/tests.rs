mod acks;
mod follow;
mod frames;
mod mailbox;
mod places;
mod request;
mod told;
mod wanted;

/// Returns the size of what a function's future holds, without calling it.
fn held<A, B, C, D, F>(_: impl FnOnce(A, B, C, D) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn a_socket_that_waits_holds_little() {
    let bytes = held(super::session::run) + held(super::session::live);
    assert!(bytes <= 2 * 1024, "{bytes} bytes for every socket, however idle");
}
