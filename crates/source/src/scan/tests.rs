#![allow(clippy::unwrap_used)]

use std::os::unix::fs::symlink;

use tempfile::{TempDir, tempdir};

use super::*;

fn look(scanner: &mut Scanner) -> Look {
    scanner.look(SystemTime::now())
}

fn names(dir: &TempDir, look: &Look) -> Vec<String> {
    let prefix = format!("{}/", dir.path().display());
    look.seen.files.keys().map(|name| name.strip_prefix(&prefix).unwrap_or(name).to_owned()).collect()
}

fn scanner(dir: &TempDir) -> Scanner {
    Scanner::new(dir.path().to_owned(), Vec::new())
}

#[test]
fn documents_are_found_at_every_depth_and_hidden_files_are_not() {
    let dir = tempdir().unwrap();
    fs::create_dir_all(dir.path().join("x/y")).unwrap();
    fs::create_dir_all(dir.path().join(".git")).unwrap();
    for name in ["a.yaml", "b.YML", "x/c.json", "x/y/d.yaml", ".e.yaml", ".git/f.yaml", "g.txt", "h.yaml~"] {
        fs::write(dir.path().join(name), name).unwrap();
    }

    let look = look(&mut scanner(&dir));

    assert_eq!(names(&dir, &look), ["a.yaml", "b.YML", "x/c.json", "x/y/d.yaml"]);
    assert_eq!(look.directories.len(), 3);
    assert!(look.has_root && look.seen.closed.is_empty());
}

#[test]
fn a_further_directory_may_be_hidden_and_may_be_missing() {
    let dir = tempdir().unwrap();
    fs::create_dir_all(dir.path().join(".weft/workloads")).unwrap();
    fs::write(dir.path().join(".weft/workloads/a.yaml"), "").unwrap();
    let extra = vec![dir.path().join(".weft/workloads"), dir.path().join(".weft/none")];

    let look = look(&mut Scanner::new(dir.path().to_owned(), extra));

    assert_eq!(names(&dir, &look), [".weft/workloads/a.yaml"]);
    assert!(look.seen.closed.is_empty());
}

#[test]
fn a_missing_root_is_closed_and_so_is_what_lies_below() {
    let dir = tempdir().unwrap();
    let root = dir.path().join("gone");

    let look = look(&mut Scanner::new(root.clone(), vec![root.join(".weft/workloads")]));

    assert!(!look.has_root);
    assert!(look.seen.closed.contains_key(&name(&root)));
}

#[test]
fn a_link_to_a_file_is_read_and_a_link_to_nowhere_is_reported() {
    let dir = tempdir().unwrap();
    fs::create_dir(dir.path().join("..data")).unwrap();
    fs::write(dir.path().join("..data/a.yaml"), "a").unwrap();
    symlink("..data/a.yaml", dir.path().join("a.yaml")).unwrap();
    symlink("nowhere", dir.path().join("b.yaml")).unwrap();

    let look = look(&mut scanner(&dir));

    let contents: Vec<_> = look.seen.files.values().collect();
    assert_eq!(contents[0], &Content::Bytes(b"a".to_vec()));
    assert!(matches!(contents[1], Content::Unreadable(_)), "{contents:?}");
}

#[test]
fn links_in_a_circle_are_walked_once() {
    let dir = tempdir().unwrap();
    fs::create_dir(dir.path().join("x")).unwrap();
    fs::write(dir.path().join("x/a.yaml"), "a").unwrap();
    symlink("..", dir.path().join("x/up")).unwrap();

    let look = look(&mut scanner(&dir));

    assert_eq!(names(&dir, &look), ["x/a.yaml"]);
}

#[test]
fn an_oversized_file_is_not_read() {
    let dir = tempdir().unwrap();
    let file = File::create(dir.path().join("a.yaml")).unwrap();
    file.set_len(10_000_000).unwrap();

    let look = look(&mut scanner(&dir));

    assert_eq!(look.seen.files.values().collect::<Vec<_>>(), [&Content::TooLarge(10_000_000)]);
}

#[test]
fn a_directory_or_pipe_named_like_a_document_does_no_harm() {
    let dir = tempdir().unwrap();
    fs::create_dir(dir.path().join("a.yaml")).unwrap();
    std::os::unix::net::UnixListener::bind(dir.path().join("b.yaml")).unwrap();

    let look = look(&mut scanner(&dir));

    assert!(matches!(look.seen.files.values().next(), Some(Content::Unreadable(_))));
    assert_eq!(look.seen.files.len(), 1);
}

#[test]
fn a_file_is_read_again_only_where_its_stamp_may_lie() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("a.yaml"), "a").unwrap();
    let mut scanner = scanner(&dir);
    let now = SystemTime::now();

    let first = scanner.look(now);
    let too_fresh = scanner.look(now + Duration::from_secs(1));
    let settled = scanner.look(now + Duration::from_secs(1));

    let contents = |look: &Look| look.seen.files.values().next().cloned();
    assert_eq!(contents(&first), Some(Content::Bytes(b"a".to_vec())));
    assert_eq!(contents(&too_fresh), Some(Content::Bytes(b"a".to_vec())));
    assert_eq!(contents(&settled), Some(Content::Same));
}

#[test]
fn nesting_beyond_measure_is_reported() {
    let dir = tempdir().unwrap();
    let deep = "d/".repeat(MAX_DEPTH + 2);
    fs::create_dir_all(dir.path().join(deep)).unwrap();

    let look = look(&mut scanner(&dir));

    assert_eq!(look.seen.closed.len(), 1);
    assert_eq!(look.directories.len(), MAX_DEPTH);
}
