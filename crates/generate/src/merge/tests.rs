use super::*;

const BASE: &str = "\
kind: VirtualService
metadata:
  name: order
spec:
  http:
  - name: primary
    route:
    - destination:
        host: order
        subset: stable
      weight: 100
    - destination:
        host: order
        subset: canary
      weight: 0
    timeout: 3s
---
kind: Service
metadata:
  name: order
spec:
  ports:
  - name: http
    port: 8080
";

fn merged(mine: &str, fresh: &str) -> Merged {
    merge(BASE, mine, fresh).expect("all three can be read")
}

#[test]
fn a_text_in_which_nothing_changes_keeps_every_byte() {
    let mine = BASE.replace("weight: 100", "weight:   80   # a try").replace("weight: 0", "weight: 20");

    assert_eq!(merged(&mine, BASE), Merged { text: mine, conflicts: Vec::new() });
    assert_eq!(merged(BASE, BASE).text, BASE);
}

#[test]
fn what_either_side_changed_stands() {
    let mine = BASE.replace("weight: 100", "weight: 80 # a try").replace("weight: 0", "weight: 20");
    let fresh = BASE.replace("3s", "5s").replace("port: 8080", "port: 9090");

    let merged = merged(&mine, &fresh);

    assert_eq!(merged.conflicts, []);
    for kept in ["weight: 80", "weight: 20", "timeout: 5s", "port: 9090", "# a try"] {
        assert!(merged.text.contains(kept), "{kept}:\n{}", merged.text);
    }
}

#[test]
fn a_persons_word_stands_where_both_changed_it_and_both_are_told() {
    let merged = merged(&BASE.replace("3s", "1s"), &BASE.replace("3s", "5s"));

    assert!(merged.text.contains("timeout: 1s"), "{}", merged.text);
    let [conflict] = &*merged.conflicts else { panic!("{:?}", merged.conflicts) };
    assert_eq!(
        conflict.to_string(),
        "VirtualService/default/order spec.http[primary].timeout: the file has 1s, the model now gives 5s (last time 3s); \
         the file's stays"
    );
}

#[test]
fn rules_of_ones_own_stay_in_their_place() {
    let rule = "  http:\n  # For those who test.\n  - name: testers\n    route:\n    - destination:\n        host: order\n        subset: canary\n";
    let mine = BASE.replace("  http:\n", rule);
    let fresh = BASE.replace("3s", "5s");

    let merged = merged(&mine, &fresh);

    let places: Vec<_> = ["http:", "# For those", "- name: testers", "- name: primary", "5s"]
        .map(|word| merged.text.find(word))
        .into();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{}", merged.text);
}

#[test]
fn objects_come_and_go_with_the_model() {
    let (virtual_service, service) = BASE.split_once("---\n").expect("two documents");
    let own = "kind: Gateway\nmetadata:\n  name: mine\n";
    let new = "kind: DestinationRule\nmetadata:\n  name: order\n";

    let gone = merged(&format!("{BASE}---\n{own}"), virtual_service);
    let come = merged(BASE, &format!("{virtual_service}---\n{new}---\n{service}"));
    let deleted = merged(service, BASE);

    assert_eq!((gone.text, gone.conflicts), (format!("{virtual_service}---\n{own}"), Vec::new()));
    assert_eq!(come.text, format!("{virtual_service}---\n{new}---\n{service}"));
    assert_eq!((deleted.text.as_str(), deleted.conflicts.len()), (service, 0));
}

#[test]
fn an_object_one_side_changed_and_the_other_took_away_is_told() {
    let (virtual_service, service) = BASE.split_once("---\n").expect("two documents");
    let changed = BASE.replace("3s", "1s");

    let kept = merged(&changed, service);
    let away = merged(service, &changed);

    assert!(kept.text.contains("timeout: 1s") && kept.conflicts.len() == 1, "{kept:?}");
    assert_eq!((away.text.as_str(), away.conflicts.len()), (service, 1));
    assert!(virtual_service.contains("3s"));
}

#[test]
fn a_text_that_cannot_be_read_is_named_and_nothing_comes_of_it() {
    let error = merge(BASE, "kind: [\n", BASE).expect_err("it is broken");

    assert!(error.line > 0 && !error.message.is_empty(), "{error}");
}
