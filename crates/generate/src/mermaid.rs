//! A model as a Mermaid flowchart.

use std::fmt::Write;

use crate::model::{CallKind, DomainModel};

/// Writes who calls whom as a flowchart that Mermaid, and whatever shows Markdown, draws.
pub fn mermaid(model: &DomainModel) -> String {
    let mut out = String::from("flowchart LR\n");
    let mut line = |text: String| writeln!(out, "  {text}").expect("invariant: a String takes everything");
    if model.contexts.iter().any(|context| context.user_facing) {
        line("users((users))".to_owned());
    }
    for context in &model.contexts {
        line(format!("{}[\"{}\"]", id(&context.name), escaped(context.title())));
    }
    for (place, external) in model.externals.iter().enumerate() {
        line(format!("external{place}[/\"{}\"/]", escaped(&external.name)));
    }
    for context in model.contexts.iter().filter(|context| context.user_facing) {
        line(format!("users --> {}", id(&context.name)));
    }
    for call in &model.calls {
        let (arrow, label) = match call.kind {
            CallKind::Async => ("-.->", call.via.first().cloned().unwrap_or_default()),
            CallKind::Sync => (
                "-->",
                [call.method.clone(), call.path.clone()].into_iter().flatten().collect::<Vec<_>>().join(" "),
            ),
        };
        let label = if label.is_empty() { String::new() } else { format!("|\"{}\"|", escaped(&label)) };
        line(format!("{} {arrow}{label} {}", id(&call.from), id(&call.to)));
    }
    for (place, external) in model.externals.iter().enumerate() {
        for caller in &external.callers {
            line(format!("{} --> external{place}", id(caller)));
        }
    }
    out
}

/// A name Mermaid takes for a node: `end` and the like are words of its own.
fn id(name: &str) -> String {
    format!("c_{}", name.replace('-', "_"))
}

/// Quotes and brackets would end the label.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '"' => out.push_str("#quot;"),
            '#' => out.push_str("#35;"),
            '<' => out.push_str("#lt;"),
            '>' => out.push_str("#gt;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
