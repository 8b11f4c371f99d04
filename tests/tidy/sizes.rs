//! Sizes: lines of files and of functions.

use crate::sources::{all_sources, below, read};

/// Columns of a comment; rustfmt leaves comments alone.
const COMMENT_COLUMNS_MAX: usize = 100;

/// Lines of a file without its tests, and of a function.
const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn a_file_opens_with_its_contract_and_is_not_too_long() {
    let mut wrong = Vec::new();
    for source in all_sources() {
        let is_test = source.path.ends_with("tests.rs");
        if !is_test && !read(&source.path).starts_with("//! ") {
            wrong.push(format!("{} does not open with //!", source.path));
        }
        let lines = source.code.lines().count();
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{} has {lines} lines without its tests", source.path));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_comment_is_as_wide_as_the_code_at_most() {
    let mut wrong = Vec::new();
    for source in ["src", "crates", "benches", "tests", "fuzz"].into_iter().flat_map(below) {
        for (index, line) in read(&source.path).lines().enumerate() {
            let is_comment = line.trim_start().starts_with("//");
            if is_comment && line.chars().count() > COMMENT_COLUMNS_MAX {
                wrong.push(format!("{}:{}", source.path, index + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_function_fits_on_a_screen() {
    let mut wrong = Vec::new();
    let rest = ["tests", "fuzz"].into_iter().flat_map(below);
    for source in all_sources().into_iter().chain(rest) {
        let lines: Vec<&str> = source.code.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let text = line.trim_start();
            if !is_function(text) {
                continue;
            }
            let close = format!("{}}}", &line[..line.len() - text.len()]);
            let length = lines[start..].iter().position(|line| **line == close).unwrap_or(0) + 1;
            if length > FUNCTION_LINES_MAX {
                wrong.push(format!("{}:{}: {length} lines", source.path, start + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether a line begins a function, whatever its visibility and qualifiers.
fn is_function(line: &str) -> bool {
    let mut rest = line;
    loop {
        if rest.starts_with("fn ") {
            return true;
        }
        let word = match rest.strip_prefix("pub(") {
            Some(inside) => "pub(".len() + inside.find(") ").map_or(0, |end| end + 2),
            None => rest.find(' ').map_or(0, |end| end + 1),
        };
        let qualifiers = ["pub ", "const ", "async ", "unsafe ", "extern ", "\"C\" "];
        if word == 0 || !(rest.starts_with("pub(") || qualifiers.contains(&&rest[..word])) {
            return false;
        }
        rest = &rest[word..];
    }
}

#[test]
fn a_function_is_one_whatever_stands_before_it() {
    for line in [
        "fn a() {",
        "pub(in crate::relay) const fn a() {",
        "pub async unsafe fn a(",
        "pub(super) fn a(",
    ] {
        assert!(is_function(line), "{line}");
    }
    for line in ["const A: fn (u8) = b;", "pub struct A;", "let fn_ = a;", "pub(super) a: u8,"] {
        assert!(!is_function(line), "{line}");
    }
}
