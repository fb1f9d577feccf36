//! The page at `/`: contexts and links.

use generate::{Context, DomainModel};

/// The page of a model.
pub fn page(model: &DomainModel) -> String {
    let rows: String = model.contexts.iter().map(row).collect();
    let title = escaped(&model.project);
    format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <style>body{{font:16px system-ui;margin:3em auto;max-width:50em}}td{{padding:.3em 1em .3em 0;vertical-align:top}}</style>\n\
         <h1>{title}</h1>\n<table>\n{rows}</table>\n"
    )
}

fn row(context: &Context) -> String {
    let link = |path: &str| {
        let path = escaped(path);
        format!("<a href=\"{path}\">{path}</a>")
    };
    let links: Vec<String> = context.prefixes().into_iter().map(link).collect();
    let commands = context.commands.iter().filter_map(|command| {
        let (method, path) = (command.method.as_deref()?, command.path.as_deref()?);
        Some(escaped(&format!("{method} {path}")))
    });
    let commands: Vec<String> = commands.collect();
    format!(
        "<tr><td><b>{}</b><td>{}<td><small>{}</small>\n",
        escaped(context.title()),
        links.join("<br>"),
        commands.join("<br>")
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
