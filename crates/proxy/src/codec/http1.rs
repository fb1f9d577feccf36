//! A client's connection of HTTP/1: requests taken one after another, each answered before the next is read.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::{Method, Response, StatusCode, Version};
use http_body::Body as _;
use net::Stream;
use net::http1::{Answering, Error, Limits, Malformed, RequestHead, Server};
use plan::HttpManager;
use tokio::time::Sleep;

use crate::body::ResponseBody;
use crate::client::Client;
use crate::exchange::{self, Hop};
use crate::pace::{Ending, Pace};
use crate::reply;
use crate::upgrade::Tunnel;
use crate::upload::Incoming;
use crate::view::case;

/// A client's connection, while HTTP is spoken on it.
struct Session<'a> {
    client: &'a Rc<Client>,
    manager: &'a HttpManager,
    server: Server,
    ending: &'a Cell<Ending>,
}

/// What comes on a connection.
#[allow(clippy::large_enum_variant, reason = "nearly always it is the large one, and moved but once")]
enum Next {
    /// The head took too long.
    Late,
    /// Something that is no request.
    Malformed(Malformed),
    /// Nothing more.
    Over,
    /// A request.
    Request(RequestHead),
}

/// What becomes of a connection after an exchange.
enum After {
    /// It broke: there is nobody to tell.
    Broken,
    /// It ends.
    End,
    /// It ends, and the client may still be sending.
    Linger,
    /// Another request may come.
    Next,
    /// It carries something else from now on.
    Tunnel(Box<Tunnel>),
}

/// Serves a connection to its end; whether the client broke the protocol.
pub(super) async fn serve(
    client: &Rc<Client>,
    manager: &HttpManager,
    stream: Stream,
    (pace, ending): (&Pace, &Cell<Ending>),
) -> bool {
    let limits = Limits {
        bytes: usize::try_from(manager.max_head_bytes).unwrap_or(usize::MAX),
        headers: usize::try_from(manager.max_headers).unwrap_or(usize::MAX),
    };
    let server = Server::new(stream, limits);
    server.write_as(case(manager.header_case));
    let session = Session { client, manager, server, ending };
    let (mut is_first, mut is_malformed) = (true, false);
    let after = loop {
        let after = match session.next(is_first).await {
            Next::Request(head) => {
                let _busy = pace.begin();
                session.exchange(head).await
            }
            Next::Late => session.refuse(reply::head_timeout()).await,
            Next::Malformed(malformed) => {
                is_malformed = true;
                tracing::debug!(remote = %client.remote, %malformed, "malformed HTTP refused");
                session.refuse(refusal(malformed)).await
            }
            Next::Over => After::End,
        };
        if !matches!(after, After::Next) {
            break after;
        }
        is_first = false;
    };
    session.end(after).await;
    is_malformed
}

/// What a client hears that breaks the rules.
fn refusal(malformed: Malformed) -> filter::LocalReply {
    match malformed {
        Malformed::HeadTooLarge => {
            reply::malformed(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "http1.headers_too_large")
        }
        Malformed::TargetTooLong => reply::malformed(StatusCode::URI_TOO_LONG, "http1.uri_too_long"),
        _ => reply::malformed(StatusCode::BAD_REQUEST, "http1.codec_error"),
    }
}

impl Session<'_> {
    /// Waits for what comes.
    async fn next(&self, is_first: bool) -> Next {
        let mut timer: Option<Pin<Box<Sleep>>> = None;
        poll_fn(|cx| {
            match self.server.poll_request(cx) {
                Poll::Ready(Ok(Some(head))) => return Poll::Ready(Next::Request(head)),
                Poll::Ready(Err(Error::Malformed(malformed))) => {
                    return Poll::Ready(Next::Malformed(malformed));
                }
                Poll::Ready(Ok(None) | Err(_)) => return Poll::Ready(Next::Over),
                Poll::Pending => {}
            }
            if !self.server.has_begun() {
                return match self.ending.get() {
                    Ending::Now => Poll::Ready(Next::Over),
                    // Who has just connected is about to ask something.
                    Ending::Soon if !is_first => Poll::Ready(Next::Over),
                    Ending::Soon | Ending::Not => Poll::Pending,
                };
            }
            let Some(limit) = self.manager.head_timeout else { return Poll::Pending };
            let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
            timer.as_mut().poll(cx).map(|()| Next::Late)
        })
        .await
    }

    /// Serves one request.
    async fn exchange(&self, head: RequestHead) -> After {
        let RequestHead { parts, keep_alive, takes_trailers, .. } = head;
        let answering = Answering {
            version: parts.version,
            to_head: parts.method == Method::HEAD,
            takes_trailers,
            closes: !keep_alive,
            switches: false,
        };
        let incoming = self.server.body().map_or(Incoming::Empty, Incoming::Http1);
        // Boxed: a connection that waits for a request should not carry room for one.
        let mut serving =
            Box::pin(exchange::serve(Rc::clone(self.client), parts, incoming, Hop { is_http1: true }));
        let mut is_at_once = true;
        let response = poll_fn(|cx| match serving.as_mut().poll(cx) {
            Poll::Ready(mut response) => {
                if !self.server.is_whole() && (is_at_once || !self.has_come_since(response.body(), cx)) {
                    response.body_mut().close();
                }
                Poll::Ready(Some(response))
            }
            Poll::Pending => {
                is_at_once = false;
                self.server.poll_gone(cx).map(|()| None)
            }
        })
        .await;
        drop(serving);
        match response {
            Some(response) => self.respond(response, answering).await,
            None => After::Broken,
        }
    }

    /// Whether a request that was not read to its end has come whole all the same. Like Envoy, what answers the
    /// head alone never waits to see; where time has passed, what came meanwhile counts. Of an upstream's
    /// answer it does not: the upstream may still be reading.
    fn has_come_since(&self, answer: &ResponseBody, cx: &mut Context<'_>) -> bool {
        answer.is_own() && self.server.skim(cx)
    }

    /// Answers what is no request; the account of it says so.
    async fn refuse(&self, reply: filter::LocalReply) -> After {
        let answering = Answering {
            version: Version::HTTP_11,
            to_head: false,
            takes_trailers: false,
            closes: true,
            switches: false,
        };
        let response = exchange::refuse(Rc::clone(self.client), reply).await;
        match self.respond(response, answering).await {
            After::Broken => After::Broken,
            _ => After::Linger,
        }
    }

    async fn respond(&self, response: Response<ResponseBody>, mut answering: Answering) -> After {
        let (head, mut body) = response.into_parts();
        answering.closes |= body.closes() || self.ending.get() != Ending::Not || self.client.is_leaving();
        let hint = (!body.is_end_stream()).then(|| body.size_hint());
        let tunnel = body.take_tunnel();
        answering.switches = tunnel.is_some();
        if !self.server.start(&head, answering, hint) {
            body.skip();
        }
        answering.closes |= self.server.closes();
        let mut body = Some(body);
        let sent = poll_fn(|cx| self.poll_send(&mut body, cx)).await;
        // The account of the exchange is closed before the next one begins.
        drop(body);
        match (sent, tunnel) {
            (false, _) => After::Broken,
            (true, Some(tunnel)) => After::Tunnel(tunnel),
            (true, None) if !self.server.finish() => After::Linger,
            (true, None) if answering.closes => After::End,
            (true, None) => After::Next,
        }
    }

    /// Sends the response; whether it went out whole.
    fn poll_send(&self, body: &mut Option<ResponseBody>, cx: &mut Context<'_>) -> Poll<bool> {
        match self.server.poll_send(body, cx) {
            Poll::Ready(result) => Poll::Ready(result.is_ok()),
            Poll::Pending => self.server.poll_gone(cx).map(|()| false),
        }
    }

    async fn end(self, after: After) {
        let Some(stream) = self.server.take() else { return };
        match after {
            After::Broken | After::Next => {}
            After::End => Box::pin(stream.close()).await,
            // Boxed: a connection that waits for a request should not carry room for its end.
            After::Linger => match self.manager.delayed_close {
                Some(limit) => Box::pin(stream.linger(limit)).await,
                None => Box::pin(stream.close()).await,
            },
            After::Tunnel(tunnel) => Box::pin(tunnel.run(stream)).await,
        }
    }
}
