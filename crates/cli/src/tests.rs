#![allow(clippy::unwrap_used)]

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;

fn refusal(line: &str) -> Option<ErrorKind> {
    Cli::try_parse_from(line.split(' ')).err().map(|error| error.kind())
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn what_the_help_shows_is_understood() {
    let mut help = AFTER_HELP.to_owned();
    for verb in Cli::command().get_subcommands() {
        for verb in std::iter::once(verb).chain(verb.get_subcommands()) {
            help.extend(verb.get_after_help().map(|text| format!("\n{text}")));
        }
    }
    let examples = help.lines().filter_map(|line| line.strip_prefix("  weft "));
    for example in examples {
        // What is the shell's is no argument.
        let line = ["  ", " < ", " > ", " | ", " || "]
            .iter()
            .fold(example, |line, shell| line.split(shell).next().unwrap());
        assert_eq!(refusal(&format!("weft {line}")), None, "{line}");
    }
}

#[test]
fn verbs_take_the_usual_flags() {
    for line in [
        "weft apply -f a.yaml -f - --timeout 1.5s --dry-run --mesh /m",
        "weft bootstrap reviews --workload 3 --envoy",
        "weft completion zsh",
        "weft control --dir /m --mesh 79 --http 127.0.0.1:0",
        "weft control --dir /m --listen 127.0.0.1:0",
        "weft convert old new.yaml - --compat -o json --output-dir out",
        "weft convert - --diff",
        "weft convert - --prove -o json",
        "weft convert ingress.yaml --from nginx-ingress",
        "weft create -f a.yaml --timeout 0s",
        "weft delete vs reviews -n shop",
        "weft demo --port 9000 --keep /m --envoy gateway --envoy reviews",
        "weft diff -f a.yaml --mesh /m",
        "weft edit vs reviews -n shop",
        "weft explain http://reviews:9080/reviews/0 --from productpage-v1 -X POST -f a.yaml -o json",
        "weft gateway -f a.yaml -f b --bind 127.0.0.1",
        "weft get vs,dr -A -o yaml",
        "weft model generate m.json --compat msaez --topping argo-rollouts -o json",
        "weft model generate m.yaml --into mesh.yaml",
        "weft model import -",
        "weft model show m.yaml -o mermaid",
        "weft replace -f a.yaml",
        "weft status",
        "weft tether 1 -- /bin/true --flag",
        "weft up -f mesh.yaml --mesh-number 79 --envoy gateway",
        "weft validate -f a.yaml --strict",
        "weft validate -f a.yaml --with-mesh --mesh /m",
        "weft version",
    ] {
        assert_eq!(refusal(line), None, "{line}");
    }
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    for line in [
        "weft",
        "weft apply",
        "weft apply -f a.yaml --timeout soon",
        "weft control --dir /m --mesh 79 --listen 127.0.0.1:0",
        "weft convert",
        "weft convert a.yaml -o toml",
        "weft convert a.yaml --diff --output-dir out",
        "weft demo --port 0",
        "weft demo --port 70000",
        "weft get vs -A -n shop",
        "weft get vs -o toml",
        "weft nonsense",
    ] {
        assert!(refusal(line).is_some(), "{line}");
    }
}
