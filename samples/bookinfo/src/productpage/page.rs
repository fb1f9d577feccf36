//! The HTML of the shop, written by hand: one file, no script, nothing fetched from elsewhere.

use std::fmt::Write;

use http::StatusCode;
use serde_json::Value;

use super::Part;

const CSS: &str = include_str!("page.css");

/// The facts about a book, as the page names them and as details does.
const FACTS: [(&str, &str); 7] = [
    ("Type", "type"),
    ("Pages", "pages"),
    ("Published", "year"),
    ("Publisher", "publisher"),
    ("Language", "language"),
    ("ISBN-10", "ISBN-10"),
    ("ISBN-13", "ISBN-13"),
];

/// A star that was given, under the name by which Istio's tutorials look for one.
const STAR: &str = "<b class=\"glyphicon glyphicon-star\">★</b>";

/// The most stars a book can have.
const FULL: usize = 5;

/// The start page.
pub fn index() -> String {
    let body = "<h1>Bookinfo</h1>\
        <p class=lead>Four small services make one page: <b>productpage</b> asks <b>details</b> and \
        <b>reviews</b>, and reviews asks <b>ratings</b>.</p>\
        <p><a href=/productpage?u=normal>Look at the book as a guest</a></p>\
        <p><a href=/productpage?u=test>Look at the book as a tester</a> (log in as <code>jason</code>)</p>";
    document("Bookinfo", "", body)
}

/// The page of one book.
pub fn product(product: &Value, details: &Part, reviews: &Part, user: Option<&str>) -> String {
    let title = text(product, "title");
    let author = match details.status {
        StatusCode::OK => text(&details.document, "author"),
        _ => String::new(),
    };
    let mut body = format!(
        "<section class=book><div class=cover><b>{title}</b><span>{author}</span></div><div><h1>{title}</h1>\
         <p class=lead>{description}</p>{details}</div></section>",
        // The one text that may be markup: it is this program's own.
        description = product["descriptionHtml"].as_str().unwrap_or_default(),
        details = details_part(details),
    );
    body.push_str(&reviews_part(reviews));
    document(&title, &account(user), &body)
}

fn details_part(details: &Part) -> String {
    if details.status != StatusCode::OK {
        return trouble("Error fetching product details!", &details.document);
    }
    let mut out = "<h2>Book Details</h2><dl>".to_owned();
    for (label, field) in FACTS {
        let _ = write!(out, "<div><dt>{label}</dt><dd>{}</dd></div>", text(&details.document, field));
    }
    out.push_str("</dl>");
    out
}

fn reviews_part(reviews: &Part) -> String {
    if reviews.status != StatusCode::OK {
        return format!(
            "<h2>Book Reviews</h2>{}",
            trouble("Error fetching product reviews!", &reviews.document)
        );
    }
    let document = &reviews.document;
    let mut out = "<h2>Book Reviews</h2><div class=reviews>".to_owned();
    for review in document["reviews"].as_array().into_iter().flatten() {
        let _ = write!(
            out,
            "<blockquote>{rating}<p>{words}</p><cite>{reader}</cite></blockquote>",
            rating = rating(&review["rating"]),
            words = text(review, "text"),
            reader = text(review, "reviewer"),
        );
    }
    let _ = write!(out, "</div><p class=note>Reviews served by: <code>{}</code>", text(document, "podname"));
    match document["clustername"].as_str() {
        Some(cluster) if cluster != "null" => {
            let _ = write!(out, " on cluster <code>{}</code>", escaped(cluster));
        }
        _ => {}
    }
    out.push_str("</p>");
    out
}

fn rating(rating: &Value) -> String {
    if let Some(stars) = rating["stars"].as_u64() {
        let stars = usize::try_from(stars).unwrap_or(FULL).min(FULL);
        // Anything but red is drawn in the ink of the page.
        let color = if rating["color"] == "red" { "red" } else { "black" };
        return format!(
            "<span class=\"stars {color}\" role=img aria-label=\"{stars} of {FULL} stars\" data-stars={stars}>\
             {}<i>{}</i></span>",
            STAR.repeat(stars),
            "★".repeat(FULL - stars)
        );
    }
    match rating["error"].as_str() {
        Some(error) => format!("<span class=note>{}</span>", escaped(error)),
        None => String::new(),
    }
}

fn trouble(heading: &str, document: &Value) -> String {
    format!("<div class=trouble><h3>{heading}</h3><p>{}</p></div>", text(document, "error"))
}

fn account(user: Option<&str>) -> String {
    match user {
        Some(user) => {
            format!("<p class=user>{} <a href=/logout>Sign out</a></p>", escaped(user))
        }
        None => "<form method=post action=/login><input name=username placeholder=\"User name\" \
                 aria-label=\"User name\" autocomplete=username required maxlength=64>\
                 <input name=passwd type=password placeholder=Password aria-label=Password \
                 autocomplete=current-password><button>Sign in</button></form>"
            .to_owned(),
    }
}

fn document(title: &str, account: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8><title>{title}</title>\
         <meta name=viewport content=\"width=device-width,initial-scale=1\"><style>{CSS}</style></head>\
         <body><header><a href=/productpage>Bookinfo</a>{account}</header><main>{body}</main></body></html>\n"
    )
}

/// A field as escaped text; a number is written out, anything else is nothing.
fn text(document: &Value, field: &str) -> String {
    match &document[field] {
        Value::String(text) => escaped(text),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn part(document: Value) -> Part {
        Part { status: StatusCode::OK, document }
    }

    #[test]
    fn stars_keep_their_colour_and_their_bounds() {
        assert!(rating(&json!({ "stars": 4, "color": "red" })).contains("stars red"));
        assert!(rating(&json!({ "stars": 4, "color": "red" })).contains("data-stars=4"));
        assert!(rating(&json!({ "stars": u64::MAX, "color": "<b>" })).contains("stars black"));
        assert_eq!(rating(&Value::Null), "");
    }

    #[test]
    fn what_services_say_is_never_markup() {
        let evil = json!({
            "podname": "<script>", "reviews": [{ "reviewer": "<img>", "text": "'\"&<", "rating": { "error": "<b>" } }],
        });

        let page =
            product(&json!({ "title": "T" }), &part(json!({ "author": "<i>" })), &part(evil), Some("<u>"));

        for tag in ["<script>", "<img>", "<b></b>", "<i>", "<u>"] {
            assert!(!page.contains(tag) || tag == "<i>" && !page.contains("<span><i>"), "{tag}");
        }
        assert!(page.contains("&#39;&quot;&amp;&lt;"));
    }

    #[test]
    fn what_is_missing_is_said() {
        let gone = Part { status: StatusCode::SERVICE_UNAVAILABLE, document: json!({ "error": "Sorry." }) };

        let page = product(&json!({ "title": "T" }), &gone, &gone, None);

        assert!(page.contains("Error fetching product details!"));
        assert!(page.contains("Error fetching product reviews!"));
        assert!(page.contains("<form method=post action=/login>"));
    }
}
