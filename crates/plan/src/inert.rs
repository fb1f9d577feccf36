//! Filters that are accepted and knowingly do nothing.

use std::sync::Arc;

/// A filter that is accepted and knowingly does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InertFilter {
    /// Its name in the listener.
    pub name: Arc<str>,
    /// The message it is configured by.
    pub message: Arc<str>,
    /// Why it does nothing.
    pub reason: &'static str,
}
