//! A model file as the drawing tool writes it: elements, relations, and the deployment layer.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use crate::finding::{Findings, WHOLE};
use crate::loose::Loose;

/// The largest file that is read; pictures make them large.
const MOST_BYTES: usize = 256 << 20;
/// The most elements or relations of one layer.
const MOST_ELEMENTS: usize = 20_000;

/// A model file.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    pub(crate) project: String,
    pub(crate) elements: Layer,
    pub(crate) relations: Vec<Relation>,
    pub(crate) deployment: Layer,
    pub(crate) toppings: Vec<Value>,
    pub(crate) scm: Scm,
}

/// Elements in the order of the file, found by any id they go by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    pub(crate) all: Vec<Element>,
    by_id: HashMap<String, usize>,
}

/// One sticker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Element {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    /// Without the blanks around it.
    pub(crate) name: String,
    pub(crate) rect: Option<Rect>,
    pub(crate) value: Value,
}

/// What a sticker is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    Actor,
    Aggregate,
    Command,
    Context,
    /// Only drawn.
    #[default]
    Drawing,
    Event,
    External,
    Package,
    Policy,
    /// Of a type nobody knows.
    Unknown(String),
    View,
}

/// Where a sticker lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rect {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
}

/// A line between two stickers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Relation {
    pub(crate) id: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) circuit_breaker: bool,
    pub(crate) fallback: bool,
}

/// Where the code is kept, from which images are named.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scm {
    pub(crate) org: String,
    pub(crate) repo: String,
    pub(crate) tag: String,
}

/// The keys that are looked at. Others, pictures among them, are skipped without being kept.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Raw {
    elements: Value,
    relations: Value,
    #[serde(rename = "k8sValue")]
    deployment: Value,
    topping_platforms: Value,
    scm: Value,
    project_name: Value,
}

/// Reads a file; none where it is no model, which is said.
pub(crate) fn read(bytes: &[u8], findings: &mut Findings) -> Option<File> {
    if bytes.len() > MOST_BYTES {
        let message = format!("the file has {} bytes; the most is {MOST_BYTES}", bytes.len());
        findings.error("too-large", WHOLE, message);
        return None;
    }
    let raw: Raw = match serde_json::from_slice(bytes) {
        Ok(raw) => raw,
        Err(error) => {
            let place = [error.line(), error.column()].map(|at| u32::try_from(at).unwrap_or(u32::MAX));
            let message = if error.is_eof() {
                "the file ends in the middle: save or download the model again".to_owned()
            } else {
                format!("this is not the JSON of a model: {error}")
            };
            findings.error_at("bad-json", (place[0], place[1]), message);
            return None;
        }
    };
    if !raw.elements.is_object() && !raw.elements.is_array() && !raw.deployment.is_object() {
        let message = "this is no model: it has neither `elements` nor a deployment layer (`k8sValue`); \
                       download it by the menu's \"Download model File\"";
        findings.error("not-a-model", WHOLE, message);
        return None;
    }
    let deployment = Layer::read(raw.deployment.at("elements"), "k8sValue.elements", findings);
    let elements = Layer::read(Some(&raw.elements), "elements", findings);
    Some(File {
        project: raw.project_name.as_str().unwrap_or_default().trim().to_owned(),
        relations: entries(&raw.relations, "relations", findings)
            .into_iter()
            .filter(|(_, value)| value.is_object())
            .map(|(key, value)| Relation::read(&key, value))
            .collect(),
        elements,
        deployment,
        toppings: raw.topping_platforms.as_array().cloned().unwrap_or_default(),
        scm: Scm {
            org: raw.scm.word("org").to_owned(),
            repo: raw.scm.word("repo").to_owned(),
            tag: raw.scm.word("tag").to_owned(),
        },
    })
}

/// The entries of a map by id, or of a list by place; what was deleted is null and left out by the caller.
fn entries<'v>(value: &'v Value, what: &str, findings: &mut Findings) -> Vec<(String, &'v Value)> {
    let all: Vec<(String, &Value)> = match value {
        Value::Array(items) => {
            items.iter().enumerate().map(|(place, item)| (place.to_string(), item)).collect()
        }
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
        _ => Vec::new(),
    };
    if all.len() > MOST_ELEMENTS {
        let message = format!("there are {} {what}; the most is {MOST_ELEMENTS}", all.len());
        findings.error("too-many-elements", WHOLE, message);
        return Vec::new();
    }
    all
}

impl Layer {
    fn read(value: Option<&Value>, what: &str, findings: &mut Findings) -> Self {
        let mut layer = Self::default();
        for (key, value) in value.map(|value| entries(value, what, findings)).unwrap_or_default() {
            if !value.is_object() {
                continue;
            }
            let of_view = value.at("elementView").map(|view| view.word("id")).unwrap_or_default();
            let is_place = key.parse::<usize>().is_ok();
            let ids = [key.as_str(), value.word("id"), of_view];
            let id = ids.iter().skip(usize::from(is_place)).find(|id| !id.is_empty()).unwrap_or(&ids[0]);
            let place = layer.all.len();
            for other in ids.iter().filter(|id| !id.is_empty()) {
                layer.by_id.entry((*other).to_owned()).or_insert(place);
            }
            layer.all.push(Element::read(id, value));
        }
        layer
    }

    /// The element of an id.
    pub(crate) fn get(&self, id: &str) -> Option<&Element> {
        self.all.get(*self.by_id.get(id)?)
    }
}

impl Element {
    fn read(id: &str, value: &Value) -> Self {
        let is_packed = value.is("isPBCModel") || !value.word("pbcId").is_empty();
        let kind = Kind::of(value.word("_type"));
        Self {
            id: id.to_owned(),
            // What is shown of a package belongs to the package, whatever it is.
            kind: if is_packed && kind != Kind::Package { Kind::Drawing } else { kind },
            name: value.word("name").to_owned(),
            rect: value.at("elementView").and_then(Rect::read),
            value: value.clone(),
        }
    }

    /// The package this is shown of.
    pub(crate) fn package(&self) -> &str {
        self.value.word("pbcId")
    }

    /// What people call it, where that is not its name.
    pub(crate) fn display(&self) -> Option<&str> {
        Some(self.value.word("displayName")).filter(|display| !display.is_empty() && *display != self.name)
    }

    /// `Command/PlaceOrder`.
    pub(crate) fn object(&self) -> String {
        format!("{}/{}", self.kind.name(), self.name)
    }

    /// Where it stands in the file.
    pub(crate) fn path(&self) -> String {
        format!("elements[{}]", self.id)
    }
}

impl Kind {
    fn of(written: &str) -> Self {
        let short = written.rsplit('.').next().unwrap_or_default();
        match short {
            "Actor" => Self::Actor,
            "Aggregate" => Self::Aggregate,
            "BoundedContext" => Self::Context,
            "Command" => Self::Command,
            "Event" => Self::Event,
            "External" => Self::External,
            "PBC" => Self::Package,
            "Policy" => Self::Policy,
            "View" => Self::View,
            "ClassGroup" | "Group" | "Hotspot" | "Image" | "Issue" | "Line" | "Memo" | "Text"
            | "TextElement" | "UI" => Self::Drawing,
            _ => Self::Unknown(short.to_owned()),
        }
    }

    /// Its name in the file.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Actor => "Actor",
            Self::Aggregate => "Aggregate",
            Self::Command => "Command",
            Self::Context => "BoundedContext",
            Self::Drawing => "Drawing",
            Self::Event => "Event",
            Self::External => "External",
            Self::Package => "PBC",
            Self::Policy => "Policy",
            Self::Unknown(name) => name,
            Self::View => "View",
        }
    }

    /// Whether it needs a name to mean anything.
    pub(crate) fn needs_name(&self) -> bool {
        !matches!(self, Self::Actor | Self::Drawing | Self::Unknown(_))
    }

    /// Whether it must belong to a context to mean anything.
    pub(crate) fn needs_context(&self) -> bool {
        matches!(self, Self::Aggregate | Self::Command | Self::Event | Self::Policy | Self::View)
    }
}

impl Rect {
    /// The centre and the size as written.
    fn read(view: &Value) -> Option<Self> {
        let [x, y] = [view.number("x")?, view.number("y")?];
        let [width, height] = [view.number("width")?.abs(), view.number("height")?.abs()];
        Some(Self {
            left: x - width / 2.0,
            top: y - height / 2.0,
            right: x + width / 2.0,
            bottom: y + height / 2.0,
        })
    }

    /// How much of two overlaps; nothing where they only touch.
    pub(crate) fn overlap(&self, other: &Self) -> f64 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        if width > 0.0 && height > 0.0 { width * height } else { 0.0 }
    }
}

impl Relation {
    fn read(key: &str, value: &Value) -> Self {
        let view = value.at("relationView");
        // Ends are named three times over; copies of the elements are stale but for their ids.
        let end = |field: &str, copy: &str| {
            let own = value.reference(field);
            let of_view = view.map(|view| view.word(field)).unwrap_or_default();
            let of_copy = value.at(copy).map(|copy| copy.word("id")).unwrap_or_default();
            [own, of_view, of_copy].into_iter().find(|id| !id.is_empty()).unwrap_or_default().to_owned()
        };
        Self {
            id: key.to_owned(),
            from: end("from", "sourceElement"),
            to: end("to", "targetElement"),
            circuit_breaker: value.is("circuitBreaker"),
            fallback: value.is("fallback"),
        }
    }
}
