//! Which context a sticker belongs to: by its own word, by the context's, or by where it lies.

use std::collections::HashMap;

use crate::file::{Element, File, Kind, Rect};
use crate::finding::{About, Findings};
use crate::loose::Loose;

/// The place of the context of each sticker, by the sticker's id.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    of: HashMap<String, usize>,
}

impl Members {
    /// Decides for every sticker, and says where a drawing can be read in more than one way.
    pub(super) fn of(file: &File, contexts: &[&Element], findings: &mut Findings) -> Self {
        let places: HashMap<&str, usize> =
            contexts.iter().enumerate().map(|(place, context)| (context.id.as_str(), place)).collect();
        let place_of =
            |id: &str| file.elements.get(id).and_then(|element| places.get(element.id.as_str())).copied();
        let listed = listed(contexts);
        let rects: Vec<Option<Rect>> = contexts.iter().map(|context| context.rect).collect();
        let mut members = Self::default();
        for element in &file.elements.all {
            let is_placed = element.kind.needs_context() || element.kind == Kind::Actor;
            if !is_placed {
                continue;
            }
            let told = place_of(element.value.reference("boundedContext"))
                .or_else(|| listed.get(element.id.as_str()).copied());
            let below = below(element, &rects);
            let through_aggregate = || {
                let aggregate = file.elements.get(element.value.reference("aggregate"))?;
                place_of(aggregate.value.reference("boundedContext"))
                    .or_else(|| below_first(&self::below(aggregate, &rects)))
            };
            let place = told.or_else(|| below_first(&below)).or_else(through_aggregate);
            if element.kind.needs_context() && !element.name.is_empty() {
                report(element, (told, place), &below, contexts, findings);
            }
            if let Some(place) = place {
                members.of.insert(element.id.clone(), place);
            }
        }
        members
    }

    /// The place of a sticker's context.
    pub(super) fn context(&self, element: &Element) -> Option<usize> {
        self.of.get(&element.id).copied()
    }
}

/// What the contexts themselves say is theirs.
fn listed<'e>(contexts: &[&'e Element]) -> HashMap<&'e str, usize> {
    let mut listed = HashMap::new();
    for (place, context) in contexts.iter().enumerate() {
        for list in ["aggregates", "policies", "views", "members"] {
            for item in context.value.list(list) {
                let id = item.as_str().unwrap_or_else(|| item.word("id"));
                if !id.is_empty() {
                    listed.entry(id).or_insert(place);
                }
            }
        }
    }
    listed
}

/// The contexts a sticker lies on, the one it lies on most first.
fn below(element: &Element, rects: &[Option<Rect>]) -> Vec<(usize, f64)> {
    let Some(rect) = element.rect else { return Vec::new() };
    let overlap = |(place, other): (usize, &Option<Rect>)| Some((place, rect.overlap(&(*other)?)));
    let mut below: Vec<(usize, f64)> =
        rects.iter().enumerate().filter_map(overlap).filter(|(_, overlap)| *overlap > 0.0).collect();
    below.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    below
}

fn below_first(below: &[(usize, f64)]) -> Option<usize> {
    below.first().map(|(place, _)| *place)
}

fn report(
    element: &Element,
    (told, place): (Option<usize>, Option<usize>),
    below: &[(usize, f64)],
    contexts: &[&Element],
    findings: &mut Findings,
) {
    let (object, path) = (element.object(), element.path());
    let about = About { object: &object, path: &path };
    let name = |place: usize| contexts.get(place).map(|context| context.name.as_str()).unwrap_or_default();
    match (told, place, below) {
        (_, None, _) => {
            let message = "it belongs to no context, and is left out: drop it onto one";
            findings.warn("no-context", about, message);
        }
        (Some(told), _, [(drawn, _), ..]) if *drawn != told => {
            let message = format!(
                "it says it belongs to {:?} and lies on {:?}: its word counts; move it, if that is wrong",
                name(told),
                name(*drawn)
            );
            findings.warn("membership-disagrees", about, message);
        }
        (None, Some(place), [_, (other, _), ..]) => {
            let message = format!(
                "it lies on {:?} and on {:?}: it is taken to belong to the first, of which it covers more",
                name(place),
                name(*other)
            );
            findings.warn("ambiguous-membership", about, message);
        }
        _ => {}
    }
}
