//! The control socket: what a request means, and what it is answered.

use std::sync::Arc;
use std::time::Duration;

use api::Kind;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use tokio::net::UnixListener;
use tokio::sync::watch;

use crate::desk::{Desk, Selection};
use crate::home::Home;
use crate::server::{self, Handler, Listener, Reply, json, read, refusal};

/// How often to see whether the socket's directory is still there.
const LOOK: Duration = Duration::from_secs(1);

/// Serves the control socket until `stop` says so. A socket that vanishes with its directory is made anew when
/// the directory is there again. Hands back the lock.
pub(crate) async fn keep(
    mut home: Home,
    listener: UnixListener,
    desk: Arc<Desk>,
    mut stop: watch::Receiver<bool>,
) -> Home {
    let handler = Arc::new(Socket { desk });
    let mut listener = Some(listener);
    loop {
        match listener.take() {
            // Requests under way when the socket is lost are cut off with it.
            Some(listener) => tokio::select! {
                () = server::serve(Listener::Unix(listener), handler.clone(), stop.clone()) => return home,
                () = lost(&home) => tracing::warn!("the control socket is gone"),
            },
            None => tokio::select! {
                () = server::stopped(&mut stop) => return home,
                () = tokio::time::sleep(LOOK) => match home.reopen() {
                    Ok(reopened) => {
                        tracing::info!(ours = reopened.is_some(), "the control socket's directory is there again");
                        listener = reopened;
                    }
                    Err(error) => tracing::debug!(%error, "making the control socket anew"),
                }
            },
        }
    }
}

async fn lost(home: &Home) {
    while home.is_intact() {
        tokio::time::sleep(LOOK).await;
    }
}

/// Answers on the control socket.
struct Socket {
    desk: Arc<Desk>,
}

impl Handler for Socket {
    async fn handle(&self, request: Request<Incoming>) -> Reply {
        self.answer(request).await.unwrap_or_else(|refused| refused)
    }
}

impl Socket {
    async fn answer(&self, request: Request<Incoming>) -> Result<Reply, Reply> {
        let path = request.uri().path().to_owned();
        Ok(match (request.method(), path.as_str()) {
            (&Method::POST, "/apply") => json(StatusCode::OK, &self.desk.apply(read(request).await?).await),
            (&Method::POST, "/delete") => json(StatusCode::OK, &self.desk.delete(read(request).await?).await),
            (&Method::POST, "/wait") => json(StatusCode::OK, &self.desk.wait(read(request).await?).await),
            (&Method::GET, "/resources") => {
                let selection = selection(request.uri().query().unwrap_or_default())
                    .map_err(|why| refusal(StatusCode::BAD_REQUEST, why))?;
                json(StatusCode::OK, &self.desk.objects(&selection))
            }
            (&Method::GET, "/status") => json(StatusCode::OK, &self.desk.status()),
            (_, "/apply" | "/delete" | "/wait" | "/resources" | "/status") => {
                let message = format!("{} is not how {path} is asked", request.method());
                refusal(StatusCode::METHOD_NOT_ALLOWED, message)
            }
            _ => refusal(StatusCode::NOT_FOUND, format!("there is no {path}")),
        })
    }
}

/// Reads `kind=vs&namespace=demo&name=reviews`; names of objects need no escaping.
fn selection(query: &str) -> Result<Selection, String> {
    let mut selection = Selection::default();
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        if value.is_empty() {
            continue;
        }
        match key {
            "kind" => {
                selection.kind =
                    Some(Kind::named(value).ok_or_else(|| format!("there is no kind {value:?}"))?);
            }
            "name" => selection.name = Some(value.to_owned()),
            "namespace" => selection.namespace = Some(value.to_owned()),
            other => return Err(format!("objects are not chosen by {other:?}")),
        }
    }
    Ok(selection)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn objects_are_chosen_by_kind_namespace_and_name() {
        let chosen = selection("kind=vs&namespace=&name=reviews").unwrap();

        assert_eq!(chosen.kind, Some(Kind::VirtualService));
        assert_eq!((chosen.namespace, chosen.name.as_deref()), (None, Some("reviews")));
        assert_eq!(selection("").unwrap(), Selection::default());
    }

    #[test]
    fn an_unknown_kind_or_criterion_is_refused_by_name() {
        assert!(selection("kind=pod").unwrap_err().contains("pod"));
        assert!(selection("label=x").unwrap_err().contains("label"));
    }
}
