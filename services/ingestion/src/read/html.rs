//! The text of a page: its content as Markdown, without what is there for the browser or for finding one's way.

use std::collections::HashMap;
use std::rc::Rc;

use htmd::element_handler::Handlers;
use htmd::options::{BulletListMarker, Options};
use htmd::{Element, HtmlToMarkdown, Node};

use super::tidy;
use crate::Error;

/// Elements that hold no content, or hold it for programs.
const SKIPPED: [&str; 14] = [
    "script", "style", "head", "nav", "footer", "noscript", "template", "svg", "iframe", "object", "img", "canvas",
    "button", "select",
];

/// As deep as browsers go; what is deeper was made to exhaust whoever reads it.
const DEEPEST: usize = 512;
/// Elements that have no end, or whose end another one of their kind implies: they do not nest by themselves.
const FLAT: [&str; 31] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr", "p",
    "li", "dt", "dd", "td", "th", "tr", "tbody", "thead", "tfoot", "colgroup", "option", "optgroup", "rp", "rt",
    "html", "body",
];

const TOO_DEEP: Error = Error::Unreadable("its elements are nested too deeply");

/// Reads the text of a page.
pub(crate) fn text(html: &str) -> Result<String, Error> {
    if nesting(html) > DEEPEST {
        return Err(TOO_DEEP);
    }
    let options = Options {
        bullet_list_marker: BulletListMarker::Dash,
        ul_bullet_spacing: 1,
        ol_number_spacing: 1,
        ..Options::default()
    };
    let content = |handlers: &dyn Handlers, element: Element<'_>| Some(handlers.walk_children(element.node));
    let converter = HtmlToMarkdown::builder()
        .options(options)
        .skip_tags(SKIPPED.to_vec())
        // A passage is read by people and models: the target of a link is noise to both.
        .add_handler(vec!["a"], content)
        .scripting_enabled(false)
        .build();
    let tree = converter.html_to_tree(html).map_err(Error::Io)?;
    if depth(&tree) > DEEPEST {
        return Err(TOO_DEEP);
    }
    Ok(tidy(&unescape(&converter.tree_to_markdown(&tree))))
}

/// Estimates how deep a page is nested, before it is parsed: the time that parsing takes grows with the square of it.
fn nesting(html: &str) -> usize {
    let mut open: HashMap<String, usize> = HashMap::new();
    let (mut depth, mut deepest) = (0_usize, 0);
    for tag in html.split('<').skip(1) {
        let (closes, tag) = tag.strip_prefix('/').map_or((false, tag), |tag| (true, tag));
        let name: String = tag.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').take(32).collect();
        let name = name.to_ascii_lowercase();
        if name.is_empty() || FLAT.contains(&name.as_str()) {
            continue;
        }
        let count = open.entry(name).or_default();
        if closes {
            // An end without a beginning ends nothing.
            depth -= usize::from(*count > 0);
            *count = count.saturating_sub(1);
        } else {
            *count += 1;
            depth += 1;
            deepest = deepest.max(depth);
        }
    }
    deepest
}

fn depth(tree: &Rc<Node>) -> usize {
    let mut deepest = 0;
    let mut open = vec![(Rc::clone(tree), 1)];
    while let Some((node, level)) = open.pop() {
        deepest = deepest.max(level);
        open.extend(node.children.borrow().iter().map(|child| (Rc::clone(child), level + 1)));
    }
    deepest
}

/// Takes back the escapes that Markdown needs and readers do not: passages are shown and quoted as they are.
fn unescape(markdown: &str) -> String {
    const ENTITIES: [(&str, char); 6] =
        [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>'), ("&quot;", '"'), ("&#39;", '\''), ("&nbsp;", ' ')];
    let mut text = String::with_capacity(markdown.len());
    let mut rest = markdown;
    while let Some(at) = rest.find(['\\', '&', '\u{a0}']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some((entity, character)) = ENTITIES.iter().find(|(entity, _)| rest.starts_with(entity)) {
            text.push(*character);
            rest = &rest[entity.len()..];
            continue;
        }
        let mut characters = rest.chars();
        let first = characters.next().expect("`find` found a character here");
        let escape = first == '\\' && characters.next().is_some_and(|next| next.is_ascii_punctuation());
        if !escape {
            text.push(if first == '\u{a0}' { ' ' } else { first });
        }
        rest = &rest[first.len_utf8()..];
        if escape {
            let next = rest.chars().next().expect("an escape has a character after it");
            text.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    text.push_str(rest);
    text
}
