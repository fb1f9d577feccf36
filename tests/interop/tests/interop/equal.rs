//! The same configuration in a stock Envoy and in `weft-proxy`, as gateways and as sidecars: every request comes out
//! alike.
#![allow(clippy::print_stderr, reason = "the table of what was met is a result")]

use tests_interop::chance::Chance;
use tests_interop::exchange::Seen;
use tests_interop::generated::table::Table;
use tests_interop::generated::{Exchange, Expected, Generated, Place};
use tests_interop::pair::{self, Both, Pair, Pending, Told};
use tests_interop::town::Town;

/// How many configurations are drawn at least, and at most, until everything was met; they are judged by the round.
const CONFIGURATIONS: u16 = 500;
const ENOUGH: u16 = 700;
const ROUND: u16 = 50;

/// How often everything must have been met.
const USES: usize = 20;

/// How many differences are told before the test gives up.
const DIFFERENCES: usize = 5;

/// Both kinds of proxies, two of each.
struct World {
    town: Town,
    gateways: Pair,
    sidecars: Pair,
}

impl World {
    /// Makes every exchange of a configuration, the first of which is given this number.
    fn ask(&self, generated: &mut Generated, secrets: &[String], first: u64) -> Vec<Both> {
        let slots = pair::give(&[&self.gateways, &self.sidecars], &generated.text, secrets);
        let at = |place: Place, port: u16| match place {
            Place::Gateway => (&self.gateways, self.gateways.at(port)),
            Place::Sidecar => (&self.sidecars, self.sidecars.at(port)),
            Place::Service(host) => (&self.sidecars, self.sidecars.at_service(slots[host], port)),
        };
        for (place, port) in generated.doors() {
            let (pair, at) = at(place, port);
            pair.wait_open(at);
        }
        let numbered = generated.exchanges.iter_mut().zip(first..);
        let asked = numbered.map(|(exchange, number)| {
            exchange.asked.headers.push(("x-asked", number.to_string()));
            let (pair, at) = at(exchange.place, exchange.port);
            pair.begin(at, &exchange.asked)
        });
        // All at once: none of them is another's business.
        let pending: Vec<Pending> = asked.collect();
        pending.into_iter().map(Pending::wait).collect()
    }
}

/// How often chance took the first of two equal shares.
#[derive(Default)]
struct Share {
    first: u32,
    all: u32,
}

impl Share {
    fn add(&mut self, is_first: bool) {
        self.first += u32::from(is_first);
        self.all += 1;
    }

    /// Whether it is half of all, but for five standard deviations.
    fn is_half(&self) -> bool {
        let (first, all) = (f64::from(self.first), f64::from(self.all));
        (first - all / 2.0).abs() <= 5.0 * (all / 4.0).sqrt()
    }
}

/// What was found so far.
#[derive(Default)]
struct Findings {
    table: Table,
    differences: Vec<String>,
    /// Of requests, and of connections, by proxy.
    shares: [[Share; 2]; 2],
}

impl Findings {
    /// Judges an exchange by what both proxies answered and what they wrote of it.
    fn judge(&mut self, generated: &Generated, exchange: &Exchange, both: &Both, told: [Option<&Told>; 2]) {
        let fault = match (both, exchange.expected) {
            ([Err(_), Err(_)], Expected::Refusal) => None,
            ([Ok(envoy), Ok(weft)], Expected::Requests) => {
                self.requests(generated, exchange, [envoy.clone(), weft.clone()], told)
            }
            ([Ok(envoy), Ok(weft)], Expected::Name(name)) => {
                let is_it = |seen: &Seen| backend(seen) == name;
                (!is_it(envoy) || !is_it(weft)).then(|| format!("not {name}"))
            }
            ([Ok(envoy), Ok(weft)], Expected::Either(one, other)) => {
                let names = [envoy, weft].map(backend);
                for (share, name) in self.shares[1].iter_mut().zip(&names) {
                    share.add(name == one);
                }
                let is_one = |name: &String| name == one || name == other;
                (!names.iter().all(is_one)).then(|| format!("neither {one} nor {other}"))
            }
            (_, expected) => Some(format!("{expected:?} was expected")),
        };
        match fault {
            None => exchange.kinds.iter().for_each(|kind| self.table.hit(kind)),
            Some(fault) => self.differences.push(format!(
                "{fault}: {exchange:?}\nEnvoy: {:?} {:?}\nWeft:  {:?} {:?}\nin {}",
                both[0], told[0], both[1], told[1], generated.text
            )),
        }
    }

    fn requests(
        &mut self,
        generated: &Generated,
        exchange: &Exchange,
        seen: [Seen; 2],
        told: [Option<&Told>; 2],
    ) -> Option<String> {
        let [Some(envoy), Some(weft)] = told else { return Some("no line in the access log".into()) };
        let asked = &exchange.asked;
        let is_shared = generated.is_shared(&envoy.route);
        let [mut one, mut other] = [envoy.clone(), weft.clone()];
        if is_shared && one.cluster != "-" && other.cluster != "-" {
            for (share, told) in self.shares[0].iter_mut().zip([&mut one, &mut other]) {
                share.add(told.cluster.ends_with("||one.test"));
                told.cluster.clear();
            }
        }
        if one != other {
            return Some("another route".into());
        }
        let seen = match generated.is_drawn(asked, &envoy.route, &envoy.cluster) {
            true => seen.map(Seen::without_endpoint),
            false => seen,
        };
        if seen[0] != seen[1] {
            return Some("another answer".into());
        }
        for kind in generated.met(asked, &envoy.route, &envoy.cluster) {
            self.table.hit(kind);
        }
        None
    }
}

/// Which backend answered.
fn backend(seen: &Seen) -> String {
    let told = serde_json::from_str::<serde_json::Value>(&seen.body).ok();
    let name = told.and_then(|told| told["name"].as_str().map(str::to_owned));
    name.unwrap_or_else(|| seen.body.trim_end().to_owned())
}

#[test]
fn envoy_and_weft_answer_alike() {
    if testkit::skip_without_envoy() {
        return;
    }
    let seed = Chance::seed();
    eprintln!("WEFT_SEED={seed}");
    let mut chance = Chance::new(seed);
    let claim = local::claim(None).expect("a free mesh");
    let world = World { town: Town::start(), gateways: Pair::start(), sidecars: Pair::sidecars(claim.mesh) };
    let secrets = world.town.keys.secrets(&["edge", "client"]);
    let mut findings = Findings::default();
    let (mut number, mut requests) = (0, 0);

    while number < CONFIGURATIONS || (number < ENOUGH && !findings.table.rarer_than(USES).is_empty()) {
        let mut round = Vec::new();
        for _ in 0..ROUND {
            let mut generated = Generated::draw(&mut chance, &world.town, number);
            number += 1;
            let all = world.ask(&mut generated, &secrets, requests);
            let first = requests;
            requests += u64::try_from(all.len()).unwrap_or_default();
            round.push((first, generated, all));
        }
        judge(&mut findings, &world, &round);
        if findings.differences.len() >= DIFFERENCES {
            break;
        }
    }

    eprintln!("{requests} requests to {number} configurations met\n{}", findings.table);
    let told: Vec<&str> = findings.differences.iter().take(DIFFERENCES).map(String::as_str).collect();
    assert!(
        told.is_empty(),
        "seed {seed}: {} differences, of them\n{}",
        findings.differences.len(),
        told.join("\n\n")
    );
    let rare = findings.table.rarer_than(USES);
    assert!(rare.is_empty(), "seed {seed}: met too rarely: {rare:?}");
    for share in findings.shares.iter().flatten() {
        assert!(share.is_half(), "seed {seed}: {} of {} are no half", share.first, share.all);
    }
}

/// Judges a round once both proxies have written of all its requests.
fn judge(findings: &mut Findings, world: &World, round: &[(u64, Generated, Vec<Both>)]) {
    let asked = |is_gateway: bool| {
        let answered = round.iter().flat_map(|(first, generated, all)| {
            let exchanges = generated.exchanges.iter().zip(all).zip(*first..);
            exchanges.filter(move |((exchange, both), _)| {
                (exchange.place == Place::Gateway) == is_gateway
                    && exchange.expected == Expected::Requests
                    && both.iter().all(Result::is_ok)
            })
        });
        answered.map(|(_, number)| number).collect::<Vec<u64>>()
    };
    let at_gateways = world.gateways.wait_told(&asked(true));
    let at_sidecars = world.sidecars.wait_told(&asked(false));
    for (first, generated, all) in round {
        for ((exchange, both), number) in generated.exchanges.iter().zip(all).zip(*first..) {
            let told = if exchange.place == Place::Gateway { &at_gateways } else { &at_sidecars };
            findings.judge(generated, exchange, both, [told[0].get(&number), told[1].get(&number)]);
        }
    }
}
