//! The size of the pages that a process's memory comes in.

/// Lets memory come in small pages. The allocator asks for huge ones, which keep 2 MiB for whatever lies in them: a gateway with
/// 5,000 sockets held 108 MB instead of 86, and no less time went into its messages.
pub(crate) fn keep_small() {
    // Where huge pages stay, they cost memory and nothing else.
    #[cfg(target_os = "linux")]
    let _kept = nix::sys::prctl::set_thp_disable(true);
}
