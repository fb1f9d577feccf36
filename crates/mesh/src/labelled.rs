//! Things with labels, and selectors of labels, each found without looking at the others.

use std::collections::{BTreeMap, BTreeSet};

use base::{Host, Labels};

/// Things with labels, in the order they were added.
#[derive(Debug)]
pub(crate) struct Labelled<'a, T> {
    all: Vec<(&'a Labels, T)>,
    /// By key, and then by value.
    by_label: BTreeMap<&'a str, BTreeMap<&'a str, Vec<usize>>>,
}

impl<T> Default for Labelled<'_, T> {
    fn default() -> Self {
        Self { all: Vec::new(), by_label: BTreeMap::new() }
    }
}

impl<'a, T: Copy> Labelled<'a, T> {
    pub(crate) fn add(&mut self, labels: &'a Labels, thing: T) {
        for (key, value) in &labels.0 {
            self.by_label.entry(key).or_default().entry(value).or_default().push(self.all.len());
        }
        self.all.push((labels, thing));
    }

    /// Those that a selector selects, in their order.
    pub(crate) fn selected(&self, selector: &Labels) -> Vec<T> {
        let with = |(key, value): (&String, &String)| {
            let all = self.by_label.get(key.as_str()).and_then(|values| values.get(value.as_str()));
            all.map_or(&[][..], Vec::as_slice)
        };
        let Some(rarest) = selector.0.iter().map(with).min_by_key(|with| with.len()) else {
            return self.all.iter().map(|(_, thing)| *thing).collect();
        };
        let candidates = rarest.iter().filter_map(|at| self.all.get(*at));
        candidates.filter(|(labels, _)| selector.selects(labels)).map(|(_, thing)| *thing).collect()
    }
}

/// Hosts whose services select workloads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selecting {
    /// By the first label that is asked for, its key and then its value.
    by_label: BTreeMap<String, BTreeMap<String, BTreeSet<Host>>>,
    /// Those that ask for none.
    all: BTreeSet<Host>,
}

impl Selecting {
    pub(crate) fn add(&mut self, selector: &Labels, host: &Host) {
        let hosts = match selector.0.iter().next() {
            Some((key, value)) => {
                self.by_label.entry(key.clone()).or_default().entry(value.clone()).or_default()
            }
            None => &mut self.all,
        };
        hosts.insert(host.clone());
    }

    /// Every host whose service may select a workload with these labels.
    pub(crate) fn of<'s>(&'s self, labels: &'s Labels) -> impl Iterator<Item = &'s Host> {
        let asking = labels.0.iter().filter_map(|(key, value)| self.by_label.get(key)?.get(value));
        asking.flatten().chain(&self.all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_selector_selects_comes_in_the_order_it_was_added() {
        let sets = [
            Labels::from([("app", "a"), ("version", "v1")]),
            Labels::from([("app", "b")]),
            Labels::from([("app", "a"), ("version", "v2")]),
        ];
        let mut labelled = Labelled::default();
        for (at, labels) in sets.iter().enumerate() {
            labelled.add(labels, at);
        }

        assert_eq!(labelled.selected(&Labels::from([("app", "a")])), [0, 2]);
        assert_eq!(labelled.selected(&Labels::from([("app", "a"), ("version", "v2")])), [2]);
        assert_eq!(labelled.selected(&Labels::from([("app", "c")])), [0; 0]);
        assert_eq!(labelled.selected(&Labels::default()), [0, 1, 2]);
    }

    #[test]
    fn selectors_are_found_by_what_they_ask_for() {
        let mut selecting = Selecting::default();
        selecting.add(&Labels::from([("app", "a"), ("version", "v1")]), &Host::new("a"));
        selecting.add(&Labels::from([("app", "b")]), &Host::new("b"));
        selecting.add(&Labels::default(), &Host::new("everything"));

        let of = |labels: &Labels| selecting.of(labels).map(ToString::to_string).collect::<Vec<_>>();

        assert_eq!(of(&Labels::from([("app", "a")])), ["a", "everything"]);
        assert_eq!(of(&Labels::default()), ["everything"]);
    }
}
