//! Field by field: what each row of the table of supported fields does to what proxies are told.
//!
//! `fields/KIND.yaml` has a case for every supported row of a kind: a value that, put into an object of the mesh of
//! `fields/world.yaml`, must change what some proxy is told, and what `weft-proxy` makes of it. The changes stand in
//! `fields/KIND.out.txt`. A row whose effect is not in xDS names the test that shows it, and one that has none says
//! so in its note. Rows that are warned of or refused must be, by their path.

mod case;
mod difference;
mod place;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use api::support::{self, Row, Support};
use api::{Kind, Resource};
use base::{Issue, Severity};
use serde_json::{Value, json};

use case::{Case, Cases, Expectation, Given};
use world::World;

/// Values of which one fits any field that is warned of or refused, unless its case has one of its own.
const SAMPLES: [&str; 10] = ["x", "h:1", "1", "true", "1s", "{}", "{a: x}", "[x]", "[{}]", "[500]"];

const WARNED: Told = Told { severity: Severity::Warning, code: "unsupported-field" };
const REFUSED: Told = Told { severity: Severity::Error, code: "refused-field" };

#[test]
fn every_field_does_something_or_says_why_not() {
    let check = |kind| {
        let mut sheet = Sheet::new(kind);
        support::table().filter(|row| row.kind == kind).for_each(|row| sheet.check(&row));
        sheet.finish()
    };

    let sheets: Vec<Checked> = std::thread::scope(|scope| {
        let sheets = Kind::ALL.map(|kind| scope.spawn(move || check(kind)));
        sheets.into_iter().map(|sheet| sheet.join().unwrap()).collect()
    });

    let used: BTreeSet<&String> = sheets.iter().flat_map(|sheet| &sheet.used).collect();
    let known: BTreeSet<&String> = sheets.iter().flat_map(|sheet| &sheet.known).collect();
    let idle = known.difference(&used).map(|name| format!("no row is {name}"));
    let failed: Vec<String> = sheets.iter().flat_map(|sheet| &sheet.failed).cloned().chain(idle).collect();
    assert!(failed.is_empty(), "{} rows:\n{}", failed.len(), failed.join("\n"));
}

/// How somebody is told of a field.
#[derive(Clone, Copy)]
struct Told {
    severity: Severity,
    code: &'static str,
}

/// What came of the rows of one kind.
struct Checked {
    failed: Vec<String>,
    /// The cases that rows asked for.
    used: BTreeSet<String>,
    /// The cases there are.
    known: BTreeSet<String>,
}

/// The rows of one kind, as they are checked.
struct Sheet {
    kind: Kind,
    stem: PathBuf,
    cases: Cases,
    used: BTreeSet<String>,
    /// Objects beside the one that is tried, by their text.
    around: BTreeMap<String, Rc<Vec<Resource>>>,
    /// Meshes before a change, which many rows share.
    worlds: BTreeMap<String, Rc<World>>,
    golden: String,
    failed: Vec<String>,
}

impl Sheet {
    fn new(kind: Kind) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/fields");
        let stem = folder.join(snake(kind.name()));
        Self {
            kind,
            cases: Cases::read(&stem),
            stem,
            used: BTreeSet::new(),
            around: BTreeMap::new(),
            worlds: BTreeMap::new(),
            golden: String::new(),
            failed: Vec::new(),
        }
    }

    fn check(&mut self, row: &Row) {
        let found = self.cases.of(&row.path);
        self.used.extend(found.as_ref().map(|(name, _)| name.clone()));
        let case = found.map(|(_, case)| case);
        let outcome = match row.support {
            Support::Warned(_) => self.is_told_of(row, case.as_ref(), WARNED),
            Support::Refused(_) => self.is_told_of(row, case.as_ref(), REFUSED),
            _ => self.does_something(row, case.as_ref()),
        };
        self.failed.extend(outcome.err().map(|why| format!("{} {}: {why}", self.kind, row.path)));
    }

    /// What went wrong; the known changes are among it where they are others.
    fn finish(mut self) -> Checked {
        let path = self.stem.with_extension("out.txt");
        let known = std::fs::read_to_string(&path).unwrap_or_default();
        if known != self.golden {
            if std::env::var_os("UPDATE").is_some() {
                std::fs::write(&path, self.golden).unwrap();
            } else {
                let line =
                    known.lines().zip(self.golden.lines()).position(|(a, b)| a != b).unwrap_or_default();
                let found = self.golden.lines().nth(line);
                self.failed.push(format!(
                    "{} differs from line {}: found {found:?}",
                    path.display(),
                    line + 1
                ));
            }
        }
        Checked { failed: self.failed, used: self.used, known: self.cases.names().collect() }
    }

    /// A row that is warned of or refused: some value of the field is, by its path, and nothing else is wrong.
    fn is_told_of(&self, row: &Row, case: Option<&Case>, how: Told) -> Result<(), String> {
        let around = self.cases.around(&row.path);
        let context = case.unwrap_or(&around);
        let samples: Vec<Value> = match case.and_then(|case| case.values.first()) {
            Some(own) => vec![own.value.clone()],
            None => SAMPLES.iter().map(|text| serde_saphyr::from_str(text).unwrap()).collect(),
        };
        let mut last = Vec::new();
        for sample in samples.into_iter().chain(row.words.iter().map(|word| json!(word))) {
            last = self.issues(row, context, sample);
            let errors = last.iter().filter(|issue| issue.severity == Severity::Error).count();
            if errors == usize::from(how.severity == Severity::Error) && last.iter().any(|i| how.is(i, row)) {
                return Ok(());
            }
        }
        Err(format!("no {} names it: {last:?}", how.code))
    }

    /// What is said of an object with a value of a row's field.
    fn issues(&self, row: &Row, context: &Case, value: Value) -> Vec<Issue> {
        let object = self.cases.object(self.kind, context, &[(row.path.clone(), value)]);
        world::parse(&object).issues
    }

    /// A supported row: each of its values changes something, or what else is expected comes true.
    fn does_something(&mut self, row: &Row, case: Option<&Case>) -> Result<(), String> {
        let case = case.ok_or("no case shows what it does")?;
        let mut wrong = Vec::new();
        if let Expectation::Test(place) = &case.expectation {
            let _ = writeln!(self.golden, "{}\n  shown by {place}", row.path);
            wrong.extend(test_exists(place).err());
        } else if case.values.is_empty() {
            wrong.push("no case is a value that is taken".into());
        }
        for (index, value) in case.values.iter().enumerate() {
            let written = match value.value.to_string() {
                long if long.len() > 100 => format!("#{index}"),
                short => short,
            };
            let _ = writeln!(self.golden, "{} = {written}", row.path);
            wrong.extend(self.changes(row, case, value).err().map(|why| format!("{written}: {why}")));
        }
        wrong.extend(untried(row, case));
        for (values, how) in [(&case.warned, WARNED), (&case.refused, REFUSED)] {
            for value in values {
                let issues = self.issues(row, case, value.clone());
                if !issues.iter().any(|issue| how.is(issue, row)) {
                    wrong.push(format!("{value} gives no {}: {issues:?}", how.code));
                }
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    }

    /// Writes down what a value changes, and holds it against what is expected.
    fn changes(&mut self, row: &Row, case: &Case, given: &Given) -> Result<(), String> {
        let here = |value: &Value| (row.path.clone(), value.clone());
        let from: Vec<_> = given.with.iter().cloned().chain(given.from.iter().map(here)).collect();
        let beside = format!("{}\n---\n{}", self.cases.beside, case.beside);
        let around = self.around(&beside)?;
        let object = self.cases.object(self.kind, case, &from);
        let before = match self.worlds.get(&(object.clone() + &beside)) {
            Some(known) => known.clone(),
            None => {
                let made = World::new(&object, &around).map_err(|why| format!("before: {why}"))?;
                self.worlds.entry(object + &beside).or_insert(Rc::new(made)).clone()
            }
        };
        let to: Vec<_> = given.with.iter().chain(&given.and).cloned().chain([here(&given.value)]).collect();
        let after = World::new(&self.cases.object(self.kind, case, &to), &around)
            .map_err(|why| format!("after: {why}"))?;
        if let Some(issue) = after.issues.iter().find(|issue| WARNED.is(issue, row)) {
            return Err(issue.to_string());
        }
        let changes = world::changes(&before, &after);
        self.golden.push_str(&changes.text);
        let is_told = !changes.text.is_empty();
        match (&case.expectation, &case.unread) {
            (Expectation::Nothing, _) if is_told => Err("somebody is told something else".into()),
            (Expectation::Nothing, _) => {
                self.golden.push_str("  nothing\n");
                match row.support {
                    Support::Supported => Err("nothing comes of it, and the row does not say why".into()),
                    _ => Ok(()),
                }
            }
            _ if !is_told => Err("nobody is told anything else".into()),
            (_, None) if changes.acts => Ok(()),
            (_, None) => Err("the proxy makes nothing else of it".into()),
            (_, Some(_)) if changes.acts => Err("the proxy makes something else of it after all".into()),
            (_, Some(word)) => world::is_listed(word),
        }
    }

    /// The objects of the mesh and those of a text.
    fn around(&mut self, beside: &str) -> Result<Rc<Vec<Resource>>, String> {
        if let Some(known) = self.around.get(beside) {
            return Ok(known.clone());
        }
        let made = Rc::new(world::around(beside)?);
        Ok(self.around.entry(beside.to_owned()).or_insert(made).clone())
    }
}

impl Told {
    /// Whether a finding tells of a row's field, or of something in it.
    fn is(self, issue: &Issue, row: &Row) -> bool {
        let at = issue.path.strip_prefix(&place::written(&row.path));
        let is_there = at.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        is_there && (issue.severity, &*issue.code) == (self.severity, self.code)
    }
}

/// `VirtualService` as a file is called.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// What of a row has no case: words that it may be, and values that are not taken.
fn untried(row: &Row, case: &Case) -> Option<String> {
    let tried = || case.values.iter().map(|given| &given.value).chain(&case.warned).chain(&case.refused);
    let (words, kind) = match row.support {
        Support::RefusedUnless(words, _) => (words, Some(&case.refused)),
        Support::WarnedUnless(words, _) => (words, Some(&case.warned)),
        _ => (&[][..], None),
    };
    let has = |value: &Value, word: &str| {
        value == word || value.as_array().is_some_and(|items| items.contains(&json!(word)))
    };
    let mut all = row.words.iter().chain(words);
    if let Some(word) = all.find(|word| !tried().any(|value| has(value, word))) {
        return Some(format!("no case is {word}"));
    }
    kind.filter(|values| values.is_empty()).map(|_| "no case is a value that is not taken".into())
}

/// Whether a test that is named as `FILE: NAME` is there.
fn test_exists(place: &str) -> Result<(), String> {
    let (file, name) = place.split_once(": ").ok_or("a test is named as FILE: NAME")?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join(file)).map_err(|why| format!("{file}: {why}"))?;
    if text.contains(&format!("fn {name}(")) { Ok(()) } else { Err(format!("{file} has no test {name}")) }
}

#[test]
fn what_is_told_again_is_understood_alike() {
    let object = "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: default}}";
    let [once, again] = [(), ()].map(|()| World::new(object, &world::around("").unwrap()).unwrap());

    assert_eq!(world::difference_of_plans(&once, &again), None);
}
