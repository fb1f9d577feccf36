//! `weft up` and the daily verbs, as somebody who runs programs of their own meets them.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use rustix::process::{Signal, kill_process};
use tests_mesh::demo::{eventually, told};
use tests_mesh::{Cast, Curl, Up};

/// Two greeters behind one Service, one more that stands outside the mesh, and somebody who asks.
fn greeters() -> Up {
    let service = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  selector: {{app: {name}}}\n  \
             ports: [{{name: http, port: 80, targetPort: 5000}}]\n"
        )
    };
    let ready = "readiness: {httpGet: {path: /health, port: 5000}}";
    Cast::default()
        .object("hello.yaml", &service("hello"))
        .object("plain.yaml", &service("plain"))
        .sample("plain", "httpbin", &["labels: {app: plain}", "ports: [5000]", "proxy: none"])
        .sample("client", "idle", &["labels: {app: client}"])
        // The last, since each replica takes an address.
        .sample("hello", "helloworld", &["labels: {app: hello}", "ports: [5000]", "replicas: 2", ready])
        .start()
}

/// Which instances answer so many requests; one that is not answered is not counted.
fn instances(mesh: &Up, calls: usize) -> BTreeSet<String> {
    let replies = (0..calls).map(|_| mesh.call("client", "http://hello/hello", &[]));
    let answered = replies.filter(|reply| reply.status == 200);
    answered.filter_map(|reply| Some(reply.body.trim().rsplit_once(' ')?.1.to_owned())).collect()
}

#[test]
fn programs_are_replicated_watched_and_started_again() {
    let mesh = greeters();
    let both = instances(&mesh, 40);
    assert_eq!(both.len(), 2, "both replicas are announced when the mesh is ready: {both:?}");

    let killed = mesh.process(&["sample", "helloworld"]);
    kill_process(killed, Signal::KILL).expect("the program is there");
    eventually("the program once more", || {
        // The same pod, in another process.
        (instances(&mesh, 10) == both).then_some(())
    });

    let admin = SocketAddr::from((mesh.address("hello", 1), 15_000));
    let drained = Curl::new(&format!("http://{admin}/drain_listeners")).method("POST", None).send();
    assert_eq!(drained.status, 200, "{drained:?}");
    eventually("nobody is sent to a sidecar that is not ready", || {
        let listed = mesh.done(&["get", "workloadentry", "-o", "name"]);
        (!listed.contains("/hello\n")).then_some(())
    });
    assert_eq!(instances(&mesh, 20).len(), 1, "the other replica serves alone");
}

#[test]
fn a_program_without_a_proxy_is_outside_and_is_called_all_the_same() {
    let mesh = greeters();

    let reply = mesh.call("client", "http://plain/get", &[]);

    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("server"), Some("envoy"), "only the caller's sidecar has seen it");
    assert!(!mesh.done(&["status"]).contains("plain-"), "no proxy of it is connected");
    assert!(mesh.access_log("plain").is_empty());
}

#[test]
fn the_daily_verbs_keep_what_a_user_wrote() {
    let mesh = greeters();
    let rule = "# Ours, by hand.\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: hello # one\n\
                spec:\n  hosts: [hello.default.svc.cluster.local]\n  http:\n  - directResponse: {status: 201} # for a try\n";

    mesh.give("create", rule);
    assert_eq!(mesh.call("client", "http://hello/hello", &[]).status, 201);
    let listed = mesh.done(&["get", "vs"]);
    let heading = listed.lines().find(|line| line.starts_with("NAME")).expect("a heading");
    assert_eq!(heading.split_whitespace().collect::<Vec<_>>(), ["NAME", "GATEWAYS", "HOSTS", "AGE"]);

    let edit = ["edit", "vs", "hello"];
    let out = mesh.weft_with(&[("EDITOR", "sed -i s/201/202/"), ("VISUAL", "")], &edit);
    assert!(out.status.success(), "{}", told(&out));
    assert_eq!(mesh.call("client", "http://hello/hello", &[]).status, 202);
    let shown = mesh.done(&["get", "vs/hello", "-o", "yaml"]);
    assert!(shown.contains("name: hello # one") && shown.contains("{status: 202} # for a try"), "{shown}");
    let out = mesh.weft_with(&[("EDITOR", "true"), ("VISUAL", "")], &edit);
    assert!(told(&out).contains("nothing was changed"), "{}", told(&out));
    // Whoever writes nonsense keeps it in a file of their own, and what is in force stays.
    let out = mesh.weft_with(&[("EDITOR", "sed -i s/status/stats/"), ("VISUAL", "")], &edit);
    assert!(!out.status.success() && told(&out).contains("your text is kept in"), "{}", told(&out));
    assert_eq!(mesh.call("client", "http://hello/hello", &[]).status, 202);

    let given = mesh.path("elsewhere.yaml");
    std::fs::write(&given, rule.replace("201", "203")).expect("a file");
    let file = given.display().to_string();
    mesh.done(&["apply", "-f", &file, "-n", "other"]);
    let elsewhere = mesh.done(&["get", "vs/hello", "-n", "other", "-o", "yaml"]);
    assert!(elsewhere.contains("namespace: other") && elsewhere.contains("# one"), "{elsewhere}");
    mesh.done(&["delete", "-f", &file, "-n", "other"]);
    assert!(
        mesh.done(&["get", "vs", "-o", "name", "-A"]).contains("virtualservice.networking.istio.io/hello")
    );
    let out = mesh.weft(&["diff", "-f", &file]);
    assert!(
        !out.status.success() && told(&out).contains("+  - directResponse: {status: 203}"),
        "{}",
        told(&out)
    );
}
