//! Every annotation of ingress-nginx, and what becomes of it.

/// What ingress-nginx's annotations begin with.
pub(super) const PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// What becomes of an annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// Something near it is done; the text says what is different.
    Changed,
    /// It is done.
    Kept,
    /// It is not done, and routing is right without it; the text says what to write.
    Left,
    /// Its Ingress is not converted; the text says what to write.
    Refused,
}

/// One annotation, without the prefix.
#[derive(Clone, Copy, Debug)]
pub struct Annotation {
    /// Its name.
    pub name: &'static str,
    /// What becomes of it.
    pub handling: Handling,
    /// What it becomes, what is different, or what to write instead.
    pub text: &'static str,
}

const fn kept(name: &'static str, text: &'static str) -> Annotation {
    Annotation { name, handling: Handling::Kept, text }
}

const fn changed(name: &'static str, text: &'static str) -> Annotation {
    Annotation { name, handling: Handling::Changed, text }
}

const fn left(name: &'static str, text: &'static str) -> Annotation {
    Annotation { name, handling: Handling::Left, text }
}

const fn refused(name: &'static str, text: &'static str) -> Annotation {
    Annotation { name, handling: Handling::Refused, text }
}

const SNIPPET: &str =
    "a snippet can say anything, who is let in too: write what it does as fields, and take it out";
const BUFFERS: &str = "buffers are not set by route";
const LIMITS: &str = "limits by client are not part of routing: nothing is limited";
const LETS_IN: &str = "an AuthorizationPolicy says who is let in; take it out once there is one";
const LOGS: &str = "logs and traces are set for the mesh, not by route";
const UPSTREAM_TLS: &str = "write `tls` in the DestinationRule";

/// All of them, by name.
pub fn annotations() -> &'static [Annotation] {
    ANNOTATIONS
}

/// The annotation of a name without the prefix.
pub(super) fn find(name: &str) -> Option<&'static Annotation> {
    ANNOTATIONS.iter().find(|annotation| annotation.name == name)
}

static ANNOTATIONS: &[Annotation] = &[
    kept("affinity", "`consistentHash.httpCookie` of the DestinationRule"),
    changed("affinity-canary-behavior", "a client may move between main and canary when the weights change"),
    changed("affinity-mode", "a client moves when the workloads change, as in the mode `balanced`"),
    refused("allowlist-source-range", LETS_IN),
    kept("app-root", "a redirect of `/` with status 302"),
    refused("auth-cache-duration", LETS_IN),
    refused("auth-cache-key", LETS_IN),
    refused("auth-keepalive", LETS_IN),
    refused("auth-method", LETS_IN),
    refused("auth-proxy-set-headers", LETS_IN),
    refused("auth-realm", LETS_IN),
    refused("auth-request-redirect", LETS_IN),
    refused("auth-response-headers", LETS_IN),
    refused("auth-secret", LETS_IN),
    refused("auth-secret-type", LETS_IN),
    refused("auth-signin", LETS_IN),
    refused("auth-snippet", SNIPPET),
    refused("auth-tls-error-page", "the Gateway's `tls.mode: MUTUAL` asks for certificates"),
    refused("auth-tls-match-cn", "the Gateway's `tls.subjectAltNames` tells which certificates are let in"),
    refused(
        "auth-tls-pass-certificate-to-upstream",
        "the Gateway's `tls.mode: MUTUAL` asks for certificates",
    ),
    refused(
        "auth-tls-secret",
        "the Gateway's `tls.mode: MUTUAL` with a `credentialName` asks for certificates",
    ),
    refused("auth-tls-verify-client", "the Gateway's `tls.mode: MUTUAL` asks for certificates"),
    refused("auth-tls-verify-depth", "the Gateway's `tls.mode: MUTUAL` asks for certificates"),
    refused("auth-type", LETS_IN),
    refused("auth-url", LETS_IN),
    changed(
        "backend-protocol",
        "HTTPS: `tls` of the DestinationRule; GRPC and GRPCS: the Service's port must be named `grpc` or have that \
         `appProtocol`; other protocols are refused",
    ),
    kept("canary", "joined with the Ingress of the same host and path"),
    kept("canary-by-cookie", "a condition on the cookie: `always` and `never`"),
    kept("canary-by-header", "a condition on the header: `always` and `never`"),
    kept("canary-by-header-pattern", "a condition on the header"),
    kept("canary-by-header-value", "a condition on the header"),
    kept("canary-weight", "weights"),
    kept("canary-weight-total", "weights"),
    left("client-body-buffer-size", BUFFERS),
    refused("configuration-snippet", SNIPPET),
    left("connection-proxy-header", "connections are kept by the proxy itself"),
    kept(
        "cors-allow-credentials",
        "`corsPolicy`; left out where every origin is allowed, which no browser accepts",
    ),
    kept("cors-allow-headers", "`corsPolicy`"),
    kept("cors-allow-methods", "`corsPolicy`"),
    kept("cors-allow-origin", "`corsPolicy`"),
    kept("cors-expose-headers", "`corsPolicy`"),
    kept("cors-max-age", "`corsPolicy`"),
    left("custom-headers", "write the headers into the VirtualService"),
    left("custom-http-errors", "answers are passed on as they are"),
    left(
        "default-backend",
        "a service without workloads answers 503: write a route for what takes its place",
    ),
    refused("denylist-source-range", LETS_IN),
    left("disable-proxy-intercept-errors", "answers are passed on as they are"),
    left("enable-access-log", LOGS),
    kept("enable-cors", "`corsPolicy`"),
    refused("enable-global-auth", LETS_IN),
    refused("enable-modsecurity", "there is no such filter"),
    left("enable-opentelemetry", LOGS),
    refused("enable-owasp-core-rules", "there is no such filter"),
    left("enable-rewrite-log", LOGS),
    kept("force-ssl-redirect", "a redirect of port 80 with status 308"),
    kept("from-to-www-redirect", "a VirtualService that redirects with status 308"),
    left("global-rate-limit", LIMITS),
    left("http2-push-preload", "no browser takes pushes any more"),
    left("limit-allowlist", LIMITS),
    left("limit-burst-multiplier", LIMITS),
    left("limit-connections", LIMITS),
    left("limit-rate", LIMITS),
    left("limit-rate-after", LIMITS),
    left("limit-rpm", LIMITS),
    left("limit-rps", LIMITS),
    changed("load-balance", "`round_robin`: ROUND_ROBIN; `ewma`: LEAST_REQUEST"),
    left("mirror-host", "write `mirror` in the VirtualService: it names a service, not a URL"),
    left("mirror-request-body", "a copy has its body"),
    left("mirror-target", "write `mirror` in the VirtualService: it names a service, not a URL"),
    refused("modsecurity-snippet", SNIPPET),
    kept("permanent-redirect", "`redirect`; the query of the request is kept"),
    kept("permanent-redirect-code", "`redirect.redirectCode`: 301, 302, 303, 307 or 308"),
    kept("preserve-trailing-slash", "a redirect to https keeps the path as it is"),
    left("proxy-body-size", "requests have no largest size"),
    left("proxy-buffer-size", BUFFERS),
    left("proxy-buffering", BUFFERS),
    left("proxy-buffers-number", BUFFERS),
    left("proxy-busy-buffers-size", BUFFERS),
    kept("proxy-connect-timeout", "`connectionPool.tcp.connectTimeout` of the DestinationRule"),
    left("proxy-cookie-domain", "cookies are passed on as they are"),
    left("proxy-cookie-path", "cookies are passed on as they are"),
    left("proxy-http-version", "the Service's port tells its protocol"),
    left("proxy-max-temp-file-size", BUFFERS),
    changed(
        "proxy-next-upstream",
        "`retries.retryOn`: requests that nginx would only retry if idempotent are retried too",
    ),
    kept("proxy-next-upstream-timeout", "`timeout`, where none is shorter"),
    kept("proxy-next-upstream-tries", "`retries.attempts`, the first try apart"),
    changed("proxy-read-timeout", "`timeout`: the whole answer must have come, not the next part of it"),
    left("proxy-redirect-from", "answers are passed on as they are"),
    left("proxy-redirect-to", "answers are passed on as they are"),
    left("proxy-request-buffering", BUFFERS),
    left("proxy-send-timeout", "write `timeout`: it is for request and answer together"),
    left("proxy-ssl-ciphers", UPSTREAM_TLS),
    kept("proxy-ssl-name", "`tls.sni` of the DestinationRule"),
    left("proxy-ssl-protocols", UPSTREAM_TLS),
    left("proxy-ssl-secret", UPSTREAM_TLS),
    kept("proxy-ssl-server-name", "the name of `proxy-ssl-name` is sent"),
    kept("proxy-ssl-verify", "`tls.insecureSkipVerify` of the DestinationRule"),
    left("proxy-ssl-verify-depth", UPSTREAM_TLS),
    left("relative-redirects", "a redirect names scheme and host"),
    kept("rewrite-target", "`rewrite.uriRegexRewrite`; `$1` is `\\\\1`"),
    refused("satisfy", LETS_IN),
    kept("server-alias", "more hosts of the VirtualService; regular expressions are refused"),
    refused("server-snippet", SNIPPET),
    left(
        "service-upstream",
        "the proxy sends to the workloads, and knows them better than the Service's address does",
    ),
    left("session-cookie-change-on-failure", "a client moves when its workload fails"),
    left("session-cookie-conditional-samesite-none", "the cookie has no such attribute"),
    left("session-cookie-domain", "the cookie is for the host that was asked"),
    changed("session-cookie-expires", "`consistentHash.httpCookie.ttl`, as `session-cookie-max-age`"),
    kept("session-cookie-max-age", "`consistentHash.httpCookie.ttl`"),
    kept("session-cookie-name", "`consistentHash.httpCookie.name`; `INGRESSCOOKIE` where it is not set"),
    kept("session-cookie-path", "`consistentHash.httpCookie.path`"),
    left("session-cookie-samesite", "the cookie has no such attribute"),
    left("session-cookie-secure", "the cookie has no such attribute"),
    left("ssl-ciphers", "write `tls.cipherSuites` in the Gateway"),
    kept("ssl-passthrough", "a server with `tls.mode: PASSTHROUGH` and a `tls` route by SNI"),
    left("ssl-prefer-server-ciphers", "the server's order counts"),
    kept("ssl-redirect", "a redirect of port 80 with status 308, where the host has a certificate"),
    refused("stream-snippet", SNIPPET),
    kept("temporal-redirect", "`redirect` with status 302; the query of the request is kept"),
    kept("temporal-redirect-code", "`redirect.redirectCode`: 301, 302, 303, 307 or 308"),
    kept(
        "upstream-hash-by",
        "`consistentHash`: of `$remote_addr`, `$http_NAME` and `$arg_NAME`; others are refused",
    ),
    left("upstream-hash-by-subset", "every workload may be chosen"),
    left("upstream-hash-by-subset-size", "every workload may be chosen"),
    kept("upstream-vhost", "`rewrite.authority`"),
    kept("use-regex", "conditions by regular expression, whatever the case, for all paths of the host"),
    refused("whitelist-source-range", LETS_IN),
    kept("x-forwarded-prefix", "`headers.request.set`, where a path is rewritten"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ascend_and_are_told_in_the_documentation() {
        let path = testkit::workspace_root().join("docs/nginx-ingress.md");
        #[allow(clippy::disallowed_methods, reason = "the page is part of what is tested")]
        let page = std::fs::read_to_string(path).expect("the page is there");

        assert!(annotations().is_sorted_by(|one, other| one.name < other.name));
        for Annotation { name, handling, text } in annotations() {
            let handling = match handling {
                Handling::Changed => "changed",
                Handling::Kept => "kept",
                Handling::Left => "left out",
                Handling::Refused => "refused",
            };
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let row = format!("| `{name}` | {handling} | {text} |\n");
            assert!(page.contains(&row), "docs/nginx-ingress.md lacks this row:\n{row}");
        }
    }
}
