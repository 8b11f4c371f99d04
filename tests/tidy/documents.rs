//! Documents: what they name is there.

use std::fs;
use std::path::PathBuf;

use crate::links::documents;
use crate::sources::{files, is_rust, name, read, root, sources};

#[test]
fn the_example_of_settings_is_json() {
    let text = read("config.example.json");
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(value.is_object());
}

#[test]
fn transcripts_are_named_and_say_what_they_show() {
    let folder = root().join("tests/transcripts");
    for path in files(&folder) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "README.md" {
            continue;
        }
        let stem = name.strip_suffix(".http").unwrap_or_else(|| panic!("{name} is no transcript"));
        let (section, words) = stem.split_once('-').expect("a section, then words");
        assert!(section.split('.').all(|part| part.parse::<u8>().is_ok()), "{name}");
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        assert!(words.bytes().all(is_plain), "{name}");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# "), "{name} does not say what it shows");
    }
}

#[test]
fn the_tests_that_the_security_page_names_are_there() {
    tests_are_there(&read("docs/security.md"), &["shown by"], 50);
}

#[test]
fn every_rule_of_a_server_has_its_test() {
    let page = read("docs/protocol.md");
    tests_are_there(&page, &["test", "on sockets"], 70);
    let (_, section) = page.split_once("\n## WebSockets\n").expect("its section");
    let section = section.split("\n## ").next().expect("its rows");
    for row in section.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let cells: Vec<&str> = row.split(" | ").collect();
        assert!(cells.len() == 6 && cells[4..].concat().contains('`'), "no test: {row}");
    }
}

/// Whether the tests and transcripts are there that the columns with these heads name in the tables
/// of a page, and more than so many.
fn tests_are_there(page: &str, heads: &[&str], more_than: usize) {
    let mut tests = String::new();
    for folder in ["src", "tests", "python/tests"] {
        for path in files(&root().join(folder)) {
            if path.extension().is_some_and(|extension| extension == "rs" || extension == "py") {
                tests += &fs::read_to_string(&path).expect("it is UTF-8");
            }
        }
    }
    let is_there = |name: &str| {
        if name.ends_with(".http") {
            return root().join("tests/transcripts").join(name).exists();
        }
        tests.contains(&format!("\ndef {name}("))
            || tests.match_indices(&format!("fn {name}(")).any(|(at, _)| {
                let before: Vec<&str> = tests[..at].lines().rev().take(4).collect();
                before.iter().any(|line| line.trim() == "#[test]")
            })
    };
    let named = quoted_in_columns(page, heads);
    let wrong: Vec<_> = named.iter().filter(|name| !is_there(name)).collect();
    let count = named.len();
    assert!(count > more_than && wrong.is_empty(), "of {count} there are no tests {wrong:#?}");
}

/// What stands between backticks in the columns with these heads, in all tables of a page.
fn quoted_in_columns<'p>(page: &'p str, heads: &[&str]) -> Vec<&'p str> {
    let cells =
        |row: &'p str| -> Vec<&'p str> { row.trim_matches(['|', ' ']).split(" | ").collect() };
    let (mut quoted, mut columns, mut before) = (Vec::new(), Vec::new(), "");
    for row in page.lines() {
        if row.starts_with("|---") {
            let is_wanted = |(_, head): &(usize, &str)| heads.contains(head);
            columns = cells(before).into_iter().enumerate().filter(is_wanted).collect();
        } else if row.starts_with("| ") {
            let cells = cells(row);
            let wanted = columns.iter().filter_map(|(at, _)| cells.get(*at));
            quoted.extend(wanted.flat_map(|cell| cell.split('`').skip(1).step_by(2)));
        } else {
            columns.clear();
        }
        before = row;
    }
    quoted
}

#[test]
fn the_log_lines_that_the_operations_page_names_are_written() {
    let code: String = sources().into_iter().map(|source| source.code).collect();
    let page = read("docs/operations.md");
    let events: Vec<&str> = page
        .split("event=")
        .skip(1)
        .map(|rest| rest.split(|byte: char| !byte.is_ascii_lowercase() && byte != '_').next())
        .map(|event| event.expect("a first piece"))
        .collect();
    let is_written =
        |event: &str| ["\"", " "].iter().any(|end| code.contains(&format!("\"event={event}{end}")));
    let wrong: Vec<&&str> = events.iter().filter(|event| !is_written(event)).collect();
    assert!(events.len() > 8 && wrong.is_empty(), "of {events:?} nobody writes {wrong:?}");
}

#[test]
fn the_files_that_a_contributor_is_sent_to_are_there() {
    let page = read("CONTRIBUTING.md");
    let quoted = page.split('`').skip(1).step_by(2);
    let folders = ["src/", "tests/", "docs/", "python/", "crates/", "fuzz/"];
    let is_path = |text: &&str| folders.iter().any(|folder| text.starts_with(folder));
    let paths: Vec<&str> =
        quoted.filter_map(|text| text.split(' ').next()).filter(is_path).collect();
    let wrong: Vec<_> = paths.iter().filter(|path| !root().join(path).exists()).collect();
    assert!(paths.len() > 40 && wrong.is_empty(), "of {paths:?} these are not there: {wrong:?}");
}

#[test]
fn what_tests_share_is_used() {
    let rust = |folder: &str| files(&root().join(folder)).into_iter().filter(|path| is_rust(path));
    let text = |path: PathBuf| fs::read_to_string(path).expect("it is UTF-8");
    let all: String =
        ["tests", "benches", "fuzz", "crates"].into_iter().flat_map(rust).map(text).collect();
    let mut wrong = Vec::new();
    for shared in rust("crates/testkit/src").map(text) {
        for (at, word) in shared.match_indices("pub fn ") {
            let name = name(&shared[at + word.len()..]);
            let is_name = |at: usize| {
                let (before, after) = (&all[..at], &all[at + name.len()..]);
                let is_part = |char: char| char.is_alphanumeric() || char == '_';
                !before.ends_with(is_part)
                    && !before.ends_with("fn ")
                    && !after.starts_with(is_part)
            };
            if !all.match_indices(&name).any(|(at, _)| is_name(at)) {
                wrong.push(name);
            }
        }
    }
    assert!(wrong.is_empty(), "for nobody: {wrong:#?}");
}

/// Longest line of a document.
const COLUMNS_MAX: usize = 100;

#[test]
fn lines_of_documents_fit_beside_a_diff() {
    let mut documents = documents();
    documents.retain(|name| !name.contains('/') || name.starts_with("docs/"));
    let mut wrong = Vec::new();
    for document in &documents {
        let mut is_code = false;
        for (line, at) in read(document).lines().zip(1..) {
            is_code ^= line.starts_with("```");
            // Tables and commands cannot be broken, nor can one long word, such as a link.
            let is_whole = is_code || line.starts_with("    ") || line.starts_with('|');
            let is_word = !line.trim_start_matches(['*', '-', ' ']).contains(' ');
            if line.chars().count() > COLUMNS_MAX && !is_whole && !is_word {
                wrong.push(format!("{document}:{at}"));
            }
        }
    }
    assert!(documents.len() > 8 && wrong.is_empty(), "over {COLUMNS_MAX} columns: {wrong:#?}");
}
