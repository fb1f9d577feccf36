//! Spawns hyper's own tasks on the worker they belong to.

use std::future::Future;

/// Spawns on the current thread's local runtime, so that futures need not be `Send`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalExec;

impl<F> hyper::rt::Executor<F> for LocalExec
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        // The task ends with its connection, and with the runtime at the latest.
        tokio::task::spawn_local(future);
    }
}
