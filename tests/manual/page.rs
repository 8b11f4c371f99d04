//! Page: the manual page, in the language mdoc(7). Its prose is `page.mdoc`; the options come from
//! the tables.

use std::fmt::Write;

use pushserver::cli;
use pushserver_options::{Entry, Table, Value};

/// The page.
pub(crate) fn page() -> String {
    let mut page = String::from(".\\\" Made by: UPDATE_MANUAL=1 cargo test --test manual\n");
    for line in include_str!("page.mdoc").lines() {
        match line {
            "@options@" => options(&mut page, &cli::OPTIONS),
            "@bench@" => {
                let (_, scenarios) = pushserver_bench::OPTIONS.words;
                list(
                    &mut page,
                    scenarios.iter().map(|word| (format!("Cm {}", word.name), word.text)),
                );
                options(&mut page, &pushserver_bench::OPTIONS);
            }
            _ => drop(writeln!(page, "{line}")),
        }
    }
    page
}

fn options(page: &mut String, table: &Table) {
    for group in table.groups {
        let _ = writeln!(page, ".Ss {}", group.title);
        list(page, group.entries.iter().map(|entry| (label(entry), entry.text)));
    }
}

/// A list of terms, each of which is a macro with its arguments, and what they mean.
fn list<'t>(page: &mut String, rows: impl Iterator<Item = (String, &'t str)>) {
    page.push_str(".Bl -tag -width Ds\n");
    for (term, text) in rows {
        let _ = writeln!(page, ".It {term}");
        lines(page, text);
    }
    page.push_str(".El\n");
}

fn label(entry: &Entry) -> String {
    let short = entry.short.map(|letter| format!("Fl {letter} , ")).unwrap_or_default();
    let value = match entry.value {
        Value::None => String::new(),
        Value::Text(name) | Value::File(name) => format!(" Ar {name}"),
        Value::OneOf(words) => format!(" Cm {}", words.join(" | ")),
    };
    format!("{short}Fl -{}{value}", entry.long)
}

/// Columns of a line, as mdoc wants it.
const COLUMNS: usize = 78;

/// A text as a sentence, in lines.
fn lines(page: &mut String, text: &str) {
    let mut line = String::new();
    for word in text.split(' ') {
        let word = escaped(word);
        if !line.is_empty() && line.len() + 1 + word.len() > COLUMNS {
            let _ = writeln!(page, "{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        // A line that begins so is a request.
        if line.is_empty() && word.starts_with(['.', '\'']) {
            line.push_str("\\&");
        }
        line.push_str(&word);
    }
    let _ = writeln!(page, "{line}.");
}

/// A word as roff reads it: ASCII, and of an option what can be copied to a command line.
fn escaped(word: &str) -> String {
    let is_option = word.starts_with('-') && word.len() > 1;
    let mut escaped = String::new();
    for char in word.chars() {
        match char {
            '\\' => escaped.push_str("\\e"),
            '-' if is_option => escaped.push_str("\\-"),
            ' '..='~' => escaped.push(char),
            _ => drop(write!(escaped, "\\[u{:04X}]", u32::from(char))),
        }
    }
    escaped
}
