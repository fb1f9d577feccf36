//! The few words that requests and conditions are both made of, so that they often meet.

/// Paths.
pub(super) const PATHS: [&str; 12] = [
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/A/b",
    "/ab",
    "/api/v1/users",
    "/api/v2",
    "/r/123",
    "/r/abc",
    "/old/x",
    "/a%20b",
];

/// Hosts that requests at a gateway are for.
pub(super) const HOSTS: [&str; 6] = ["a.test", "x.b.test", "b.test", "A.TEST", "other.test", "a.test:8080"];

/// Hosts that workloads call: services, and some that no service stands behind.
pub(super) const CALLED: [&str; 6] =
    ["one.test", "one.test:8000", "two.test", "a.test:8000", "x.b.test", "many.test"];

/// Methods.
pub(super) const METHODS: [&str; 6] = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"];

/// Values of `x-user`.
pub(super) const USERS: [&str; 6] = ["alice", "alice", "bob", "al", "", "Alice"];

/// Queries.
pub(super) const QUERIES: [&str; 6] = ["", "?q=1", "?q=2&debug=", "?q=12", "?x=1&q=1", "?debug=true"];

/// Regular expressions of paths.
pub(super) const REGEXES: [&str; 5] = ["/r/[0-9]+", "/a.*", ".*", "/api/v[12](/.*)?", "al.*"];
