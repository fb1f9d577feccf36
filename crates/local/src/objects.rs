//! The objects of a mesh's directory, as far as the supervisor looks at them.

use api::Resource;

use crate::layout::Layout;

/// Every object that can be read there. What is wrong with the rest is the control plane's to say.
pub(crate) fn declared(layout: &Layout) -> Vec<Resource> {
    let files = std::fs::read_dir(layout.dir()).into_iter().flatten().flatten().map(|entry| entry.path());
    let yaml =
        files.filter(|path| path.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json"));
    let read = yaml.filter_map(|path| Some((path.display().to_string(), std::fs::read(&path).ok()?)));
    read.flat_map(|(name, bytes)| api::parse(&name, &bytes).resources).collect()
}
