//! What the process asks of the kernel for itself.

/// Takes transparent huge pages out of the process's memory: a proxy's heap is small and spread, and a huge
/// page per arena would multiply what an idle one holds. The limit on open files is raised as far as allowed.
pub fn settle() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "transparent huge pages stay as they are");
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit on open files stays as it is");
    }
}
