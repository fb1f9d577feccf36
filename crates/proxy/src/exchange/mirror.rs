//! Copies of requests, sent to clusters whose answers nobody waits for.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::header::HOST;
use plan::Forward;

use crate::account::Entry;
use crate::upstream;

/// How long a copy may take.
const MIRROR: Duration = Duration::from_secs(15);

/// Sends copies whose answers nobody waits for. A body goes with them where it was kept whole by now.
pub(super) fn mirror(entry: &Rc<Entry>, forward: &Forward) {
    let record = entry.record.borrow();
    let body = match &record.upload {
        None => Bytes::new(),
        Some(upload) => match upload.kept() {
            Some(body) => body,
            None => return,
        },
    };
    for mirror in forward.mirrors.iter().filter(|mirror| mirror.share.includes(entry.worker().random())) {
        let mut head = record.x.request.clone();
        if mirror.marks_host
            && let Some(host) = head.headers.get(HOST).and_then(|host| host.to_str().ok())
            && let Ok(shadow) = HeaderValue::try_from(shadow(host))
        {
            head.headers.insert(HOST, shadow);
        }
        crate::forwarded::copied(&mut head.headers, &entry.worker().address);
        let (worker, cluster, body) = (Rc::clone(entry.worker()), Arc::clone(&mirror.cluster), body.clone());
        // Bounded, and nobody's business how it ends.
        tokio::task::spawn_local(async move {
            let call = upstream::call(&worker, &cluster, head, body);
            let _ = tokio::time::timeout(MIRROR, call).await;
        });
    }
}

/// The host of a copy, so that it is told from the real request in logs.
fn shadow(host: &str) -> String {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => format!("{name}-shadow:{port}"),
        _ => format!("{host}-shadow"),
    }
}
