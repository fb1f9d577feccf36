//! `weft convert` as a user runs it: files, a directory or standard input in, objects of today out.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

const EGRESS: &str = "\
kind: EgressRule
metadata: {name: foo-ext}
spec:
  destination: {service: foo.com}
  ports: [{port: 80, protocol: http}] # as before
";

const POLICY: &str = "\
# Chosen at random.
kind: DestinationPolicy
metadata: {name: reviews-random}
spec:
  destination: {name: reviews}
  loadBalancing: {name: RANDOM}
";

/// Says `precedence` where a number must stand.
const WRONG: &str = "\
kind: RouteRule
metadata: {name: ratings-default}
spec:
  destination: {name: ratings}
  precedence: high
";

struct Outcome {
    status: i32,
    out: String,
    err: String,
}

fn convert(args: &[&str], input: &str) -> Outcome {
    let mut child = Command::new(env!("CARGO_BIN_EXE_weft"))
        .arg("convert")
        .args(args)
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Outcome {
        status: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The old rules of source document 002.
fn seed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/seeds/002/legacy").canonicalize().unwrap()
}

fn seed_text() -> String {
    std::fs::read_to_string(seed().join("reviews.yaml")).unwrap()
}

/// The objects of a YAML stream, by what they are; each is one that is accepted today.
fn objects(yaml: &str) -> Vec<(String, Value)> {
    let parsed = api::parse("out.yaml", yaml.as_bytes());
    assert_eq!(parsed.issues, [], "{yaml}");
    parsed
        .resources
        .iter()
        .map(|resource| (resource.key().to_string(), resource.to_json()["spec"].clone()))
        .collect()
}

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Two rules whose order was a number are one list: Jason sees v2, everyone else v1.
fn assert_is_the_seeds_meaning(objects: &[(String, Value)]) {
    let [(first, rule), (second, service)] = objects else { panic!("{objects:?}") };
    assert_eq!([&**first, &**second], ["DestinationRule/default/reviews", "VirtualService/default/reviews"]);
    assert_eq!(rule["host"], "reviews");
    assert_eq!(service["hosts"], json!(["reviews"]));
    let [jason, others] = &service["http"].as_array().unwrap()[..] else { panic!("{service}") };
    let cookie = json!([{"headers": {"cookie": {"regex": "^(.*?;)?(user=jason)(;.*)?$"}}}]);
    assert_eq!(jason["match"], cookie);
    assert_eq!(others["match"], Value::Null);
    for (route, version) in [(jason, "v2"), (others, "v1")] {
        let [target] = &route["route"].as_array().unwrap()[..] else { panic!("{route}") };
        assert_eq!(target["destination"]["host"], "reviews");
        let subsets = rule["subsets"].as_array().unwrap();
        let subset = subsets.iter().find(|subset| subset["name"] == target["destination"]["subset"]);
        assert_eq!(subset.unwrap()["labels"], json!({"version": version}));
    }
}

#[test]
fn rules_of_one_host_become_its_virtual_service_in_their_order() {
    let file = seed().join("reviews.yaml");

    let outcome = convert(&[file.to_str().unwrap()], "");

    assert_is_the_seeds_meaning(&objects(&outcome.out));
    assert_eq!((outcome.status, &*outcome.err), (0, ""));
}

#[test]
fn a_directory_and_standard_input_are_as_good_as_a_file() {
    let seed = seed();

    let file = convert(&[seed.join("reviews.yaml").to_str().unwrap()], "");

    for outcome in [convert(&[seed.to_str().unwrap()], ""), convert(&["-"], &seed_text())] {
        assert_eq!((outcome.status, outcome.out, outcome.err), (0, file.out.clone(), String::new()));
    }
}

#[test]
fn a_conversion_converted_again_stays_as_it_is() {
    let once = convert(&["-"], &format!("{POLICY}---\n{}", seed_text()));

    let twice = convert(&["-"], &once.out);

    assert!(once.out.contains("\n  # Chosen at random.\n  trafficPolicy:\n"), "{}", once.out);
    assert_eq!((twice.status, twice.out), (0, once.out));
}

#[test]
fn rules_in_several_files_are_converted_as_one_whole() {
    let dir = directory(&[("1.yaml", POLICY), ("2.yml", EGRESS), ("note.txt", "kind: [")]);

    let outcome = convert(&[dir.path().to_str().unwrap(), "-"], &seed_text());

    let objects = objects(&outcome.out);
    let keys: Vec<&str> = objects.iter().map(|(key, _)| &**key).collect();
    let expected =
        ["DestinationRule/default/reviews", "VirtualService/default/reviews", "ServiceEntry/default/foo-ext"];
    assert_eq!(keys, expected);
    assert_eq!(objects[0].1["trafficPolicy"], json!({"loadBalancer": {"simple": "RANDOM"}}));
    assert_eq!(objects[0].1["subsets"].as_array().unwrap().len(), 2);
    assert_eq!(objects[2].1["hosts"], json!(["foo.com"]));
    assert_eq!(objects[2].1["ports"][0]["number"], 80);
    assert_eq!((outcome.status, &*outcome.err), (0, ""));
}

#[test]
fn json_is_one_object_or_a_list_of_them() {
    let of = |outcome: Outcome| -> Value {
        assert_eq!((outcome.status, &*outcome.err), (0, ""));
        serde_json::from_str(&outcome.out).unwrap()
    };

    let one = of(convert(&["-", "-o", "json"], EGRESS));
    let list = of(convert(&["-", "-o", "json"], &seed_text()));

    assert_eq!((&one["kind"], &one["metadata"]["name"]), (&json!("ServiceEntry"), &json!("foo-ext")));
    assert_eq!(list["kind"], "List");
    let items = list["items"].as_array().unwrap().iter();
    let objects: Vec<_> = items.map(|item| (key(item), item["spec"].clone())).collect();
    assert_is_the_seeds_meaning(&objects);
}

fn key(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap();
    format!("{kind}/default/{}", object["metadata"]["name"].as_str().unwrap())
}

#[test]
fn compat_writes_as_the_official_converter_did_and_tells_what_is_lost() {
    let outcome = convert(&["-", "--compat"], &format!("# Everyone sees v1.\n{}", seed_text()));

    assert!(outcome.out.contains("apiVersion: networking.istio.io/v1alpha3\n"), "{}", outcome.out);
    assert!(outcome.out.contains("subset: version-v2\n"), "{}", outcome.out);
    assert!(outcome.err.contains("warning[not-kept]: compatible output has no comments"), "{}", outcome.err);
    assert_eq!(outcome.status, 0);
}

#[test]
fn diff_shows_each_rule_with_its_place_above_what_it_becomes() {
    let file = seed().join("reviews.yaml");

    let outcome = convert(&[file.to_str().unwrap(), "--diff"], "");

    let file = file.display();
    let is_head = |line: &&str| ["--- ", "+++ "].iter().any(|head| line.starts_with(head));
    let heads: Vec<&str> = outcome.out.lines().filter(is_head).collect();
    let expected = [
        format!("--- {file}:1:1 RouteRule/default/reviews-default"),
        format!("--- {file}:13:1 RouteRule/default/reviews-test-v2"),
        "+++ DestinationRule/default/reviews".to_owned(),
        format!("--- {file}:13:1 RouteRule/default/reviews-test-v2 (shown above)"),
        format!("--- {file}:1:1 RouteRule/default/reviews-default (shown above)"),
        "+++ VirtualService/default/reviews".to_owned(),
    ];
    assert_eq!(heads, expected, "{}", outcome.out);
    let of = |mark: &str| -> String {
        let lines = outcome.out.lines().filter(|line| !line.starts_with(&mark.repeat(3)));
        lines.filter_map(|line| line.strip_prefix(mark)).map(|line| format!("{line}\n")).collect()
    };
    assert_eq!(of("-"), seed_text().replace("---\n", ""));
    let new: String = of("+").replacen("apiVersion", "---\napiVersion", 2);
    assert_is_the_seeds_meaning(&objects(&new));
    assert!(!outcome.out.contains('\x1b'), "a pipe gets no colour");
    assert_eq!((outcome.status, &*outcome.err), (0, ""));
}

#[test]
fn a_directory_gets_one_whole_file_per_object() {
    let dir = directory(&[]);
    let out = dir.path().join("new");

    let outcome = convert(&[seed().to_str().unwrap(), "--output-dir", out.to_str().unwrap()], "");

    assert_eq!((outcome.status, &*outcome.err), (0, ""));
    let expected = ["destination-rule-reviews.yaml", "virtual-service-reviews.yaml"];
    assert_eq!(names(&out), expected);
    let texts = expected.map(|name| std::fs::read_to_string(out.join(name)).unwrap());
    assert_is_the_seeds_meaning(&objects(&texts.join("---\n")));
    for word in
        expected.into_iter().chain(["VirtualService/default/reviews", "RouteRule/default/reviews-test-v2"])
    {
        assert!(outcome.out.contains(word), "{}", outcome.out);
    }
}

#[test]
fn a_file_that_is_there_already_is_not_replaced() {
    let dir = directory(&[("virtual-service-reviews.yaml", "mine\n")]);

    let outcome = convert(&[seed().to_str().unwrap(), "--output-dir", dir.path().to_str().unwrap()], "");

    assert_eq!((outcome.status, &*outcome.out), (1, ""));
    assert!(outcome.err.contains("virtual-service-reviews.yaml would be replaced"), "{}", outcome.err);
    assert_eq!(names(dir.path()), ["virtual-service-reviews.yaml"]);
}

#[test]
fn what_cannot_be_read_is_named_and_nothing_is_written() {
    let seed = seed_text();
    let half = &seed[..seed.find("jason)").unwrap()];
    for (broken, line) in [(half, 25), ("kind: RouteRule\nspec: [}\n", 2), ("kind: RouteRule\n\x1b[2J", 2)] {
        let dir = directory(&[("broken.yaml", broken), ("good.yaml", POLICY)]);
        let out = dir.path().join("new");
        let input = dir.path().to_str().unwrap();

        let printed = convert(&[input], "");
        let filed = convert(&[input, "--output-dir", out.to_str().unwrap()], "");

        for outcome in [printed, filed] {
            assert_eq!((outcome.status, &*outcome.out), (1, ""), "{}", outcome.err);
            let place = format!("broken.yaml:{line}:");
            assert!(outcome.err.contains(&place), "{}", outcome.err);
            assert!(outcome.err.contains("error: nothing is written"), "{}", outcome.err);
        }
        assert!(!out.exists());
    }
}

#[test]
fn a_rule_that_is_wrong_is_underlined_and_the_others_are_converted() {
    let dir = directory(&[("rules.yaml", &format!("{WRONG}---\n{}", seed_text()))]);

    let outcome = convert(&[dir.path().join("rules.yaml").to_str().unwrap()], "");

    assert_is_the_seeds_meaning(&objects(&outcome.out));
    assert_eq!(outcome.status, 1);
    assert!(outcome.err.contains("rules.yaml:5:"), "{}", outcome.err);
    assert!(
        outcome.err.contains("^^^^ spec.precedence in RouteRule/default/ratings-default"),
        "{}",
        outcome.err
    );
}

#[test]
fn nothing_to_convert_is_said() {
    let dir = directory(&[]);
    let missing = dir.path().join("missing.yaml");

    for (args, input, said) in [
        (["-"], "# only a comment\n", "there is no object"),
        ([missing.to_str().unwrap()], "", "missing.yaml"),
        ([dir.path().to_str().unwrap()], "", "holds no YAML or JSON file"),
    ] {
        let outcome = convert(&args, input);

        assert_eq!((outcome.status, &*outcome.out), (1, ""), "{}", outcome.err);
        assert!(outcome.err.contains(said), "{}", outcome.err);
    }
}
