//! The same configuration in a stock Envoy and in `weft-proxy`: every request comes out alike.

use std::collections::BTreeMap;

use testkit::Echo;
use tests_interop::chance::Chance;
use tests_interop::generated::{Asked, configuration};
use tests_interop::pair::{Pair, Seen};

/// How many configurations are drawn, and how many requests to each.
const CONFIGURATIONS: usize = 500;
const REQUESTS: usize = 12;

/// How often everything must have been used.
const USES: usize = 20;

/// How many differences are told before the test gives up.
const ENOUGH: usize = 5;

#[test]
fn envoy_and_weft_answer_alike() {
    if testkit::skip_without_envoy() {
        return;
    }
    let seed = Chance::seed();
    let mut chance = Chance::new(seed);
    let backends: Vec<Echo> = ["one", "two", "many-1", "many-2", "many-3"]
        .iter()
        .map(|name| Echo::start(name).expect("a backend"))
        .collect();
    let addresses: Vec<_> = backends.iter().map(Echo::address).collect();
    let pair = Pair::start();
    let (mut uses, mut differences) = (BTreeMap::new(), Vec::new());

    for _ in 0..CONFIGURATIONS {
        let generated = configuration(&mut chance, &addresses);
        pair.configure(&generated.text);
        for _ in 0..REQUESTS {
            let asked = Asked::draw(&mut chance);
            let seen = pair.ask(&asked).map(|seen| match generated.hash.is_in(&asked) {
                true => seen,
                false => seen.map(Seen::without_endpoint),
            });
            match seen {
                [Ok(envoy), Ok(weft)] if envoy == weft => {}
                [envoy, weft] => {
                    differences
                        .push(format!("{asked:?}\nEnvoy: {envoy:?}\nWeft:  {weft:?}\nin {}", generated.text));
                }
            }
        }
        for (what, count) in generated.uses {
            *uses.entry(what).or_insert(0) += count;
        }
        if differences.len() >= ENOUGH {
            break;
        }
    }

    assert!(differences.is_empty(), "seed {seed}: {}", differences.join("\n\n"));
    let rare: Vec<_> = uses.iter().filter(|(_, count)| **count < USES).collect();
    assert!(rare.is_empty(), "seed {seed}: used too rarely: {rare:?}");
}
