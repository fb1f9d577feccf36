use std::collections::BTreeMap;

use super::super::tests::Random;
use super::*;

fn asked(name: &str) -> Entry<'_> {
    Entry { name: Name::Own(name), is_asked: true, told: Told::Nothing }
}

fn told<'a>(name: &'a str, version: &str) -> Entry<'a> {
    Entry { name: Name::Own(name), is_asked: true, told: Told::version(version) }
}

fn is_one(a: &Ledger, b: &Ledger) -> bool {
    Arc::ptr_eq(&a.0, &b.0)
}

#[test]
fn a_ledger_says_what_was_written_last() {
    let library = Library::default();

    let first = library.blank().write(vec![asked("b"), asked("a")], &library);
    let second = first.write(vec![told("a", "1"), Entry { is_asked: false, ..asked("b") }], &library);
    let third = second.write(vec![asked("c"), told("c", "2")], &library);

    assert_eq!(first.asked().map(|name| &**name).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((second.told("a"), second.told("b")), (Told::version("1"), Told::Nothing));
    assert_eq!(second.lines().len(), 1);
    assert_eq!(third.told("c"), Told::version("2"), "of two the later counts");
}

#[test]
fn those_who_go_the_same_way_hold_one_ledger() {
    let library = Library::default();
    let go = || {
        let ledger = library.blank().write(vec![asked("a"), asked("b")], &library);
        ledger.write(vec![told("a", "1"), told("b", "1")], &library).write(vec![told("b", "2")], &library)
    };

    let all: Vec<Ledger> = (0..100).map(|_| go()).collect();

    assert!(all.iter().all(|ledger| is_one(ledger, &all[0])));
    assert_eq!(library.in_use(), 1, "what nobody is at any more is gone");
}

#[test]
fn those_who_come_to_the_same_end_by_other_ways_hold_one_ledger() {
    let library = Library::default();

    let one = library.blank().write(vec![told("a", "1")], &library).write(vec![told("b", "1")], &library);
    let other = library.blank().write(vec![told("b", "1"), told("a", "1")], &library);

    assert!(is_one(&one, &other));
}

#[test]
fn a_name_is_held_once_where_others_hold_it_too() {
    let (library, shared) = (Library::default(), Arc::<str>::from("a"));
    let ledger = library.blank().write(vec![asked("a")], &library);

    let entry = Entry { name: Name::Shared(&shared), ..told("a", "1") };
    let ledger = ledger.write(vec![entry], &library);

    assert!(Arc::ptr_eq(&ledger.lines()[0].name, &shared));
}

#[test]
fn ledgers_that_nobody_is_at_are_swept() {
    let library = Library::default();

    for n in 0..10 * SWEEP {
        library.blank().write(vec![asked(&n.to_string())], &library);
    }

    assert!(lock(&library.shelves).pages.len() <= 2 * SWEEP);
    assert!(lock(&library.blank.0.steps).len() <= MAX_STEPS);
}

#[test]
fn a_ledger_is_a_map_whatever_way_it_is_written() {
    let library = Library::default();
    for seed in 0..50 {
        let mut random = Random(seed);
        let (mut ledger, mut map) = (library.blank(), BTreeMap::new());
        for _ in 0..20 {
            let mut names: Vec<(String, bool, Told)> = Vec::new();
            for _ in 0..random.below(5) {
                let told =
                    [Told::Nothing, Told::Absence, Told::Version(1), Told::Version(2)][random.below(4)];
                names.push((random.below(8).to_string(), random.below(2) > 0, told));
            }
            let entries = names.iter().map(|(name, is_asked, told)| Entry {
                name: Name::Own(name),
                is_asked: *is_asked,
                told: *told,
            });
            ledger = ledger.write(entries.collect(), &library);
            map.extend(names.into_iter().map(|(name, is_asked, told)| (name, (is_asked, told))));
            map.retain(|_, line| *line != (false, Told::Nothing));
        }

        let lines = ledger.lines().iter().map(|l| (l.name.to_string(), (l.is_asked, l.told)));
        assert_eq!(lines.collect::<BTreeMap<_, _>>(), map, "seed {seed}");
        assert!(ledger.lines().is_sorted_by(|a, b| a.name < b.name));
    }
}
