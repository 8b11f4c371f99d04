//! Homes: an inherent `impl` stands in the file that defines its type, so that who reads the file
//! has read all that can be done with the type's fields.

use std::collections::BTreeSet;

use crate::sources::{Source, all_sources, name};

#[test]
fn an_inherent_impl_stands_in_the_file_that_defines_its_type() {
    let sources = all_sources();
    let elsewhere: BTreeSet<(&str, String)> = sources
        .iter()
        .flat_map(|source| {
            let defined = defined(source);
            let own = move |of: &String| !defined.contains(of);
            inherent(source).filter(own).map(|of| (&*source.path, of))
        })
        .collect();
    assert!(elsewhere.is_empty(), "{} stand elsewhere: {elsewhere:#?}", elsewhere.len());
}

/// The types that a file defines.
fn defined(source: &Source) -> BTreeSet<String> {
    let words = |line: &str| -> Vec<String> {
        line.split(|char: char| !char.is_alphanumeric() && char != '_')
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let keyword = |word: &String| ["struct", "enum", "union"].contains(&word.as_str());
    source
        .code
        .lines()
        .map(words)
        .filter_map(|words| {
            let at = words.iter().position(keyword)?;
            words.get(at + 1).cloned()
        })
        .collect()
}

/// The types with an inherent `impl` in a file.
fn inherent(source: &Source) -> impl Iterator<Item = String> {
    source.code.lines().filter_map(|line| {
        let rest = line.strip_prefix("impl")?;
        let rest = match rest.strip_prefix('<') {
            Some(generics) => &generics[end_of_generics(generics)..],
            None => rest,
        };
        if rest.contains(" for ") {
            return None;
        }
        let of = rest.trim_start().split(['<', ' ', '{']).next()?;
        Some(name(of.rsplit("::").next()?))
    })
}

/// Where the generics that have been opened end.
fn end_of_generics(text: &str) -> usize {
    let mut depth = 1;
    for (at, char) in text.char_indices() {
        match char {
            '<' => depth += 1,
            // Not the head of an arrow.
            '>' if !text[..at].ends_with('-') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}
