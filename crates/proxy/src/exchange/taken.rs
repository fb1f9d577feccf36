//! The route a request has taken, and what it says about heads.

use std::sync::Arc;
use std::time::Duration;

use base::Origin;
use http::request;
use plan::{Action, HeaderOps, HeaderScope, HttpManager, RouteMatch};

/// The route a request has taken.
pub(crate) struct Taken<'a> {
    pub(crate) found: RouteMatch<'a>,
}

impl<'a> Taken<'a> {
    /// The object that decided it.
    pub(crate) fn origin(&self) -> Option<&'a Origin> {
        self.found.route.origin.as_ref()
    }

    /// What header values may speak of.
    pub(crate) fn scope(&self) -> HeaderScope<'a> {
        let cluster = self.found.target.map_or("", |target| &target.cluster);
        HeaderScope { route: &self.found.route.name, cluster, upstream: None, is_reply: false }
    }

    /// Changes to the request's headers, in the order in which they apply.
    pub(crate) fn request_headers(&self) -> impl Iterator<Item = &'a Arc<HeaderOps>> {
        let own = self.found.target.and_then(|target| target.request_headers.as_ref());
        own.into_iter().chain(&self.found.route.request_headers)
    }

    /// Changes to the response's headers, in the order in which they apply.
    pub(crate) fn response_headers(&self) -> impl Iterator<Item = &'a Arc<HeaderOps>> {
        let own = self.found.target.and_then(|target| target.response_headers.as_ref());
        own.into_iter().chain(&self.found.route.response_headers)
    }

    /// How long the stream may be silent.
    pub(crate) fn idle_timeout(&self, manager: &HttpManager) -> Option<Duration> {
        let own = match &self.found.route.action {
            Action::Forward(forward) => forward.idle_timeout,
            Action::Redirect(_) | Action::Reply(_) => None,
        };
        match own {
            Some(own) => Some(own).filter(|own| !own.is_zero()),
            None => manager.stream_idle_timeout,
        }
    }

    /// How long the stream of this request may last at most.
    pub(crate) fn longest(&self, manager: &HttpManager, request: &request::Parts) -> Option<Duration> {
        match &self.found.route.action {
            Action::Forward(forward) if !forward.leaves_duration_to_manager(request) => forward.max_duration,
            _ => manager.max_stream_duration,
        }
    }

    /// Whether the route may send requests more than once.
    pub(crate) fn retries(&self) -> bool {
        matches!(&self.found.route.action, Action::Forward(forward) if forward.retry.is_some() || !forward.mirrors.is_empty())
    }
}
