//! How long files and functions are, tests apart.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::is_test;
use crate::workspace::{Finding, Workspace};

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 80;
const PARAMETERS: usize = 5;

/// Files of at most 600 lines, functions of at most 80 lines and five parameters beside `self`.
pub fn sizes(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in workspace.rust().filter(|(path, _)| !is_test(path)) {
        let file = match syn::parse_file(text) {
            Ok(file) => file,
            Err(error) => {
                findings.push(Finding::new(path, error.span().start().line, error.to_string()));
                continue;
            }
        };
        let mut walk = Walk { path, findings: &mut findings, test_lines: 0 };
        walk.visit_file(&file);
        let lines = text.lines().count().saturating_sub(walk.test_lines);
        if lines > FILE_LINES {
            let message = format!("has {lines} lines, {FILE_LINES} are allowed");
            findings.push(Finding::new(path, 0, message));
        }
    }
    findings
}

/// A walk through one file that goes round its tests.
struct Walk<'a> {
    path: &'a str,
    findings: &'a mut Vec<Finding>,
    test_lines: usize,
}

impl Walk<'_> {
    fn function(&mut self, signature: &syn::Signature, whole: Span) {
        let name = &signature.ident;
        let mut find = |message| {
            self.findings.push(Finding::new(self.path, signature.span().start().line, message));
        };
        let lines = lines(whole);
        if lines > FUNCTION_LINES {
            find(format!("{name} has {lines} lines, {FUNCTION_LINES} are allowed"));
        }
        let parameters =
            signature.inputs.iter().filter(|input| matches!(input, syn::FnArg::Typed(_))).count();
        if parameters > PARAMETERS {
            find(format!("{name} has {parameters} parameters, {PARAMETERS} are allowed"));
        }
    }
}

fn lines(span: Span) -> usize {
    span.end().line + 1 - span.start().line
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Ident>().is_ok_and(|ident| ident == "test"))
    })
}

impl<'ast> Visit<'ast> for Walk<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if is_for_tests(&item.attrs) {
            self.test_lines += lines(item.span());
        } else {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if is_for_tests(&item.attrs) {
            self.test_lines += lines(item.span());
        } else {
            self.function(&item.sig, item.sig.span().join(item.block.span()).unwrap_or(item.span()));
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, item.sig.span().join(item.block.span()).unwrap_or(item.span()));
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.function(&item.sig, item.span());
        visit::visit_trait_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let files = [(path.to_owned(), text.to_owned())].into();
        let findings = sizes(&Workspace { files, ..Workspace::default() });
        findings.into_iter().map(|finding| finding.message).collect()
    }

    fn function(lines: usize) -> String {
        format!("fn long() {{\n{}}}\n", "    let _ = \"}{\";\n".repeat(lines - 2))
    }

    #[test]
    fn a_long_function_is_found_wherever_it_hides() {
        assert!(found("a.rs", &function(80)).is_empty());
        assert_eq!(found("a.rs", &function(81)), ["long has 81 lines, 80 are allowed"]);
        assert_eq!(found("a.rs", &format!("struct X;\nimpl X {{\n{}}}\n", function(90))).len(), 1);
        assert_eq!(found("a.rs", &format!("mod inner {{\n{}}}\n", function(90))).len(), 1);
    }

    #[test]
    fn tests_may_be_long() {
        assert!(found("a.rs", &format!("#[cfg(test)]\nmod tests {{\n{}}}\n", function(900))).is_empty());
        assert!(found("crates/api/src/x/tests.rs", &function(900)).is_empty());
        assert!(found("tests/mesh/tests/page.rs", &function(900)).is_empty());
        assert_eq!(found("tests/suites/src/main.rs", &function(900)).len(), 2);
    }

    #[test]
    fn a_long_file_is_found() {
        assert!(found("a.rs", &"// line\n".repeat(600)).is_empty());
        assert_eq!(found("a.rs", &"// line\n".repeat(601)), ["has 601 lines, 600 are allowed"]);
    }

    #[test]
    fn a_sixth_parameter_is_found() {
        assert!(found("a.rs", "fn five(a: u8, b: u8, c: u8, d: u8, e: u8) {}").is_empty());
        assert!(found("a.rs", "impl X { fn f(&self, a: u8, b: u8, c: u8, d: u8, e: u8) {} }").is_empty());
        assert_eq!(found("a.rs", "fn six(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8) {}").len(), 1);
    }

    #[test]
    fn what_is_not_rust_is_found() {
        assert_eq!(found("a.rs", "fn {").len(), 1);
    }
}
