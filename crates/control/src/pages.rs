//! The pages on 15014: readiness, metrics, and what istiod's tools ask for.

use std::sync::Arc;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use tokio::sync::watch;

use crate::debug;
use crate::desk::Desk;
use crate::metrics::{Gauges, Metrics};
use crate::server::{Handler, Reply, reply, text};

const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers on 15014.
pub(crate) struct Pages {
    pub(crate) desk: Arc<Desk>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) is_ready: watch::Receiver<bool>,
}

impl Handler for Pages {
    async fn handle(&self, request: Request<Incoming>) -> Reply {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "these pages can only be read\n");
        }
        match request.uri().path() {
            "/ready" if *self.is_ready.borrow() => text(StatusCode::OK, "ready\n"),
            "/ready" => text(StatusCode::SERVICE_UNAVAILABLE, "discovery is not served\n"),
            "/metrics" => reply(StatusCode::OK, PROMETHEUS, self.metrics()),
            "/debug" => debug::page(&self.desk, "", "").await,
            path if let Some(name) = path.strip_prefix("/debug/") => {
                debug::page(&self.desk, name, request.uri().query().unwrap_or_default()).await
            }
            path => text(StatusCode::NOT_FOUND, format!("there is no {path}\n")),
        }
    }
}

impl Pages {
    fn metrics(&self) -> String {
        let standing = self.desk.built.standing();
        self.metrics.render(Gauges {
            proxies: self.desk.proxies.count(),
            services: standing.set.services().count(),
            virtual_services: standing.set.virtual_services().count(),
            issues: standing.issues.len(),
            made: self.desk.plane.memo.made(),
        })
    }
}
