//! Links: what a document leads to is there, the heading too.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::sources::{files, read, root};

/// Every document, from the repository's root.
pub(crate) fn documents() -> Vec<String> {
    let is_document = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    let at_the_top = std::fs::read_dir(root()).expect("the root");
    let at_the_top = at_the_top.map(|entry| entry.expect("an entry").path());
    let below = ["docs", "benches", "tests"].into_iter().flat_map(|name| files(&root().join(name)));
    let all = at_the_top.chain(below).filter(is_document);
    let name = |path: PathBuf| {
        let path = path.strip_prefix(root()).expect("below the root");
        path.to_str().expect("ASCII").to_owned()
    };
    all.map(name).collect()
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    let documents = documents();
    let anchors: BTreeMap<&str, Vec<String>> =
        documents.iter().map(|name| (&**name, anchors(&read(name)))).collect();
    for document in &documents {
        for link in links(&prose(&read(document))) {
            if link.contains("://") {
                continue;
            }
            count += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let to = if path.is_empty() { document.clone() } else { beside(document, path) };
            let is_there = root().join(&to).exists()
                && (anchor.is_empty()
                    || anchors.get(&*to).is_some_and(|all| all.iter().any(|one| one == anchor)));
            if !is_there {
                wrong.push(format!("{document}: {link}"));
            }
        }
    }
    assert!(count > 80 && wrong.is_empty(), "of {count} links these lead nowhere: {wrong:#?}");
}

/// A document without its code, in which brackets mean something else.
fn prose(text: &str) -> String {
    let (mut prose, mut is_code) = (String::new(), false);
    for line in text.lines() {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        if !is_code && !is_fence && !line.starts_with("    ") {
            prose += line;
            prose.push('\n');
        }
    }
    prose
}

/// Where the links and the pictures of a text lead.
fn links(text: &str) -> Vec<String> {
    let ends = [("](", ')'), ("src=\"", '"'), ("srcset=\"", '"')];
    let of = |(begin, end): (&str, char)| -> Vec<String> {
        let rests = text.split(begin).skip(1);
        rests.filter_map(|rest| rest.split_once(end)).map(|(link, _)| link.to_owned()).collect()
    };
    ends.into_iter().flat_map(of).collect()
}

/// The path of what a link in this document names.
fn beside(document: &str, link: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    let folder = Path::new(document).parent().expect("a document is a file");
    for part in folder.join(link).components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::Normal(name) => parts.push(name.to_str().expect("ASCII").to_owned()),
            _ => {}
        }
    }
    parts.join("/")
}

/// The anchors of a document's headings, as code hosts make them.
fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for line in prose(text).lines().filter(|line| line.starts_with('#')) {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = |char: &char| char.is_alphanumeric() || " -_".contains(*char);
        let slug: String = heading.chars().filter(kept).collect::<String>().replace(' ', "-");
        let before = anchors.iter().filter(|one| **one == slug).count();
        anchors.push(if before == 0 { slug } else { format!("{slug}-{before}") });
    }
    anchors
}

#[test]
fn a_link_that_leads_nowhere_is_seen() {
    let page = "# One `two`: three?\n\n[a](b.md#c) `code`\n\n```\n[no](no.md)\n```\n<img src=\"d.png\">\n# One two three\n";
    assert_eq!(links(&prose(page)), ["b.md#c", "d.png"]);
    assert_eq!(anchors(page), ["one-two-three", "one-two-three-1"]);
    assert_eq!(beside("docs/django/a.md", "../b.md"), "docs/b.md");
}
