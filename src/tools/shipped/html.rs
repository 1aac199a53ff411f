//! What a page says: its text, links and addresses.
//!
//! Owns the reading of HTML. Must never run anything of it.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;
use reqwest::Url;
use scraper::{ElementRef, Html, Node, Selector};

/// Most addresses and links that are taken from a page.
const FOUND: usize = 100;
/// Elements that may stand within each other.
const DEPTH: usize = 1_000;

/// What a page says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Page {
    pub(super) title: String,
    pub(super) description: String,
    pub(super) text: String,
    pub(super) links: Vec<String>,
    pub(super) emails: Vec<String>,
}

/// Whether a page is nested so deep that reading it would take for ever: what the standard demands of a parser takes the square of the depth.
fn is_too_deep(html: &str) -> bool {
    // These end by themselves, so their number says nothing.
    const FLAT: [&str; 26] = [
        "p", "li", "td", "tr", "th", "dt", "dd", "br", "hr", "img", "input", "meta", "link", "option", "tbody",
        "thead", "source", "wbr", "area", "base", "col", "embed", "param", "track", "path", "use",
    ];
    let mut depth = 0_usize;
    for tag in html.split('<').skip(1) {
        let closes = tag.starts_with('/');
        let name = tag.trim_start_matches('/');
        let end = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
        let name = name[..end].to_ascii_lowercase();
        if name.is_empty() || FLAT.contains(&name.as_str()) {
            continue;
        }
        depth = if closes { depth.saturating_sub(1) } else { depth + 1 };
        if depth > DEPTH {
            return true;
        }
    }
    false
}

/// Reads a page; none for one that is nested without end. Links are made whole by `base`.
pub(super) fn read(html: &str, base: &Url, text_limit: usize) -> Option<Page> {
    if is_too_deep(html) {
        return None;
    }
    let page = Html::parse_document(html);
    let first = |selector: &str| Selector::parse(selector).ok().and_then(|selector| page.select(&selector).next());
    let title = first("title").map(|it| squeezed(&it.text().collect::<String>())).unwrap_or_default();
    let described = first("meta[name=description]").or_else(|| first("meta[property='og:description']"));
    let description = described.and_then(|it| it.attr("content")).map(squeezed).unwrap_or_default();
    let text = text_of(page.root_element());
    let (mut links, mut emails) = (BTreeSet::new(), found_emails(&text));
    if let Ok(selector) = Selector::parse("a[href]") {
        for href in page.select(&selector).filter_map(|link| link.attr("href")) {
            if let Some(address) = href.trim().strip_prefix("mailto:") {
                emails.extend(found_emails(address.split('?').next().unwrap_or_default()));
            } else if let Ok(url) = base.join(href.trim())
                && matches!(url.scheme(), "http" | "https")
            {
                links.insert(url.to_string());
            }
        }
    }
    Some(Page {
        title: cut(&title, 300),
        description: cut(&description, 500),
        text: cut(&text, text_limit),
        links: links.into_iter().take(FOUND).collect(),
        emails: emails.into_iter().take(FOUND).collect(),
    })
}

/// The text of a piece of a page; nothing of one that is nested without end.
pub(super) fn text_of_fragment(html: &str) -> String {
    if is_too_deep(html) {
        return String::new();
    }
    text_of(Html::parse_fragment(html).root_element())
}

/// The text that is seen, with a line for each block.
fn text_of(root: ElementRef<'_>) -> String {
    const UNSEEN: [&str; 8] = ["script", "style", "noscript", "template", "head", "svg", "iframe", "object"];
    const BLOCKS: [&str; 24] = [
        "p",
        "div",
        "br",
        "li",
        "ul",
        "ol",
        "tr",
        "table",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "section",
        "article",
        "header",
        "footer",
        "nav",
        "main",
        "blockquote",
        "pre",
        "form",
        "hr",
    ];
    let mut out = String::new();
    // A page may be nested deeper than a stack is.
    let mut open = vec![(*root, true)];
    while let Some((node, opens)) = open.pop() {
        match node.value() {
            Node::Text(text) => out.push_str(text),
            Node::Element(element) => {
                if BLOCKS.contains(&element.name()) {
                    out.push('\n');
                }
                if opens && !UNSEEN.contains(&element.name()) {
                    open.push((node, false));
                    open.extend(node.children().rev().map(|child| (child, true)));
                }
            }
            _ => {}
        }
    }
    let lines = out.lines().map(squeezed).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

/// The addresses in a text, as they are written there. What people wrote so that no program reads it is left alone.
pub(super) fn found_emails(text: &str) -> BTreeSet<String> {
    static ADDRESS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*\.[A-Za-z]{2,24}")
            .ok()
    });
    let found = ADDRESS.iter().flat_map(|address| address.find_iter(text)).map(|found| found.as_str().to_lowercase());
    // Pictures are named like this: logo@2x.png.
    let is_file =
        |address: &String| [".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp"].iter().any(|end| address.ends_with(end));
    found.filter(|address| !is_file(address) && address.parse::<lettre::Address>().is_ok()).collect()
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// At most so many characters.
pub(super) fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_page_is_read_as_people_see_it() {
        let html = r#"<!doctype html><html><head><title> Acme
            tools </title><meta name="description" content="We  make"><style>p{}</style></head><body><script>var x="a@evil.example"</script>
            <h1>Hello</h1><p>Write to <b>Ada@Acme.example</b>, or <a href="mailto:sales@acme.example?subject=x">sales</a>.</p>
            <a href="/about">About</a><a href="javascript:alert(1)">x</a><a href="https://other.example/">y</a><img src="logo@2x.png"></body>"#;
        let page = read(html, &Url::parse("https://acme.example/x").unwrap(), 1_000).unwrap();
        assert_eq!((page.title.as_str(), page.description.as_str()), ("Acme tools", "We make"));
        assert_eq!(page.text, "Hello\nWrite to Ada@Acme.example, or sales.\nAboutxy");
        assert_eq!(page.emails, ["ada@acme.example", "sales@acme.example"]);
        assert_eq!(page.links, ["https://acme.example/about", "https://other.example/"]);
    }

    #[test]
    fn deep_and_broken_pages_are_read() {
        let deep = |depth: usize| format!("{}x{}", "<div>".repeat(depth), "</div>".repeat(depth / 2));
        assert_eq!(text_of_fragment(&deep(DEPTH)), "x");
        assert_eq!(text_of_fragment(&deep(DEPTH + 1)), "");
        assert_eq!(text_of_fragment(&"<p>x".repeat(5_000)).lines().count(), 5_000);
        assert_eq!(text_of_fragment("a<p>b<p>c</i>"), "a\nb\nc");
        assert_eq!(cut("äöü", 2), "ä…");
    }

    proptest! {
        #[test]
        fn no_page_is_too_odd(html in "[<>a-z/=\"& ;!@.-]{0,300}") {
            let _ = read(&html, &Url::parse("https://a.example").unwrap(), 100);
        }
    }
}
