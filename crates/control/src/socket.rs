//! The mesh's sockets: kept open; and what a request on the control socket means, and what it is answered.

use std::sync::Arc;
use std::time::Duration;

use api::Kind;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use tokio::sync::watch;

use crate::desk::{Desk, Selection};
use crate::home::{Home, Sockets};
use crate::server::{self, Handler, Listener, Reply, json, read, refusal};

/// How often to see whether the socket's directory is still there.
const LOOK: Duration = Duration::from_secs(1);

/// Serves both sockets until `stop` says so: users at the one, proxies at the other. Sockets that vanish with their
/// directory are made anew when the directory is there again; streams that are open go on meanwhile. Hands back the
/// lock.
pub(crate) async fn keep(
    mut home: Home,
    sockets: Sockets,
    desk: Arc<Desk>,
    discovery: Arc<xds::Server>,
    mut stop: watch::Receiver<bool>,
) -> Home {
    let handler = Arc::new(Socket { desk });
    let mut sockets = Some(sockets);
    loop {
        match sockets.take() {
            // Requests under way when the socket is lost are cut off with it.
            Some(Sockets { control, ads }) => {
                let mut end = stop.clone();
                let users = server::serve(Listener::Unix(control), handler.clone(), stop.clone());
                let proxies = discovery.listen(ads, server::stopped(&mut end));
                tokio::select! {
                    _ = async { tokio::join!(users, proxies) } => return home,
                    () = lost(&home) => tracing::warn!("the mesh's sockets are gone"),
                }
            }
            None => tokio::select! {
                () = server::stopped(&mut stop) => return home,
                () = tokio::time::sleep(LOOK) => match home.reopen() {
                    Ok(reopened) => {
                        tracing::info!(ours = reopened.is_some(), "the sockets' directory is there again");
                        sockets = reopened;
                    }
                    Err(error) => tracing::debug!(%error, "making the sockets anew"),
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
            (&Method::POST, "/validate") => {
                json(StatusCode::OK, &self.desk.validate(read(request).await?).await)
            }
            (&Method::POST, "/wait") => json(StatusCode::OK, &self.desk.wait(read(request).await?).await),
            (&Method::GET, "/resources") => {
                let selection = selection(request.uri().query().unwrap_or_default())
                    .map_err(|why| refusal(StatusCode::BAD_REQUEST, why))?;
                json(StatusCode::OK, &self.desk.objects(&selection))
            }
            (&Method::GET, "/status") => json(StatusCode::OK, &self.desk.status()),
            (_, "/apply" | "/delete" | "/validate" | "/wait" | "/resources" | "/status") => {
                let message = format!("{} is not how {path} is asked", request.method());
                refusal(StatusCode::METHOD_NOT_ALLOWED, message)
            }
            _ => refusal(StatusCode::NOT_FOUND, format!("there is no {path}")),
        })
    }
}

/// Reads `kind=vs,dr&namespace=demo&name=reviews`; names of objects need no escaping.
fn selection(query: &str) -> Result<Selection, String> {
    let mut selection = Selection::default();
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        if value.is_empty() {
            continue;
        }
        match key {
            "kind" => {
                for word in value.split(',') {
                    selection
                        .kinds
                        .push(Kind::named(word).ok_or_else(|| format!("there is no kind {word:?}"))?);
                }
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
        let chosen = selection("kind=vs,dr&namespace=&name=reviews").unwrap();

        assert_eq!(chosen.kinds, [Kind::VirtualService, Kind::DestinationRule]);
        assert_eq!((chosen.namespace, chosen.name.as_deref()), (None, Some("reviews")));
        assert_eq!(selection("").unwrap(), Selection::default());
    }

    #[test]
    fn an_unknown_kind_or_criterion_is_refused_by_name() {
        assert!(selection("kind=vs,job").unwrap_err().contains("job"));
        assert!(selection("label=x").unwrap_err().contains("label"));
    }
}
