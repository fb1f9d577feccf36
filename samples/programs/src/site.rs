//! A site: paths and what is answered there, from a table.

use std::collections::BTreeMap;
use std::pin::Pin;

use bytes::Bytes;
use http::Request;
use serde::Deserialize;

use crate::server::{Program, Reply, host, reply};

/// A web server that answers from a table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Site(Vec<Page>);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    port: u16,
    path: String,
    status: u16,
    host: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
}

impl Program for Site {
    fn answer<'a>(
        &'a self,
        port: u16,
        request: &'a Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Reply> + Send + 'a>> {
        Box::pin(std::future::ready(self.page(port, request)))
    }
}

impl Site {
    fn page(&self, port: u16, request: &Request<Bytes>) -> Reply {
        let (path, host) = (request.uri().path(), host(request.headers(), request.uri()));
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let found = self.0.iter().find(|page| {
            page.port == port && page.path == path && page.host.as_deref().is_none_or(|host| host == name)
        });
        let Some(page) = found else { return reply(404, "text/plain", "not found") };
        let mut reply = reply(page.status, "text/html", page.body.clone());
        for (name, value) in &page.headers {
            if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), value.parse()) {
                reply.headers_mut().insert(name, value);
            }
        }
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_found_by_port_path_and_host() {
        let table = r#"[{"port":80,"path":"/a","status":301,"headers":{"location":"https://x/a"}},
                        {"port":443,"path":"/a","status":200,"host":"x","body":"hello"}]"#;
        let site: Site = serde_json::from_str(table).expect("a table");
        let ask = |port, host: &str, path: &str| {
            let request =
                Request::builder().uri(path).header("host", host).body(Bytes::new()).expect("a request");
            site.page(port, &request)
        };

        assert_eq!(ask(80, "anything", "/a").headers()["location"], "https://x/a");
        assert_eq!(ask(443, "x:443", "/a").status(), 200);
        assert_eq!(ask(443, "y", "/a").status(), 404);
        assert_eq!(ask(80, "x", "/b").status(), 404);
    }
}
