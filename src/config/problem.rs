//! Problems: what is wrong in the settings, and where. Every message is one line, and shows no
//! secret of a URL.

use std::fmt;

use serde_json::Value;

/// Most characters of a wrong value that a message repeats.
const SHOWN_CHARS_MAX: usize = 40;

/// One error in the settings.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The JSON path, as in `locations[1].url`; empty for the whole file.
    pub(super) path: String,
    /// What is wrong, and what to write instead.
    pub(super) what: String,
}

impl Problem {
    pub(super) fn new(path: &Path<'_>, what: impl Into<String>) -> Self {
        Self { path: path.to_string(), what: what.into() }
    }

    /// The key needs a feature that this build has not.
    pub(super) fn not_built(path: &Path<'_>, feature: &str) -> Self {
        let what = "this pushserver was built without the feature";
        Self::new(path, format!("{what} {}; leave the key out", quoted(feature)))
    }
}

/// A setting or argument that cannot work, and what to write instead. Its text is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(pub(super) String);

impl Error {
    /// The same of the value that stands there.
    pub(super) fn at(self, path: &Path<'_>) -> Problem {
        Problem::new(path, self.0)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Path of a value in the settings: a chain of keys and indexes up to the whole file.
#[derive(Clone, Copy)]
pub(super) enum Path<'p> {
    Root,
    Key(&'p Self, &'p str),
    Index(&'p Self, usize),
}

impl<'p> Path<'p> {
    pub(super) fn key(&'p self, key: &'p str) -> Self {
        Self::Key(self, key)
    }

    pub(super) fn index(&'p self, index: usize) -> Self {
        Self::Index(self, index)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Index(above, index) => write!(f, "{above}[{index}]"),
            Self::Key(above, key) if is_plain(key) => match above {
                Self::Root => f.write_str(key),
                _ => write!(f, "{above}.{key}"),
            },
            Self::Key(above, key) => write!(f, "{above}[{}]", quoted(key)),
        }
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= SHOWN_CHARS_MAX
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'$'))
}

/// The text in quotes, with control characters escaped, and cut off where it is too long to read.
/// User name, password and query of a URL may be secret and are left out.
pub(super) fn quoted(text: &str) -> String {
    let shown;
    let text = match text.split_once("://") {
        Some((scheme, rest)) => {
            let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, _)| (rest, "?…"));
            let (user, rest) = rest.rsplit_once('@').map_or(("", rest), |(_, rest)| ("…@", rest));
            shown = format!("{scheme}://{user}{rest}{query}");
            &shown
        }
        None => text,
    };
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

/// The value that was found, in words.
pub(super) fn found(value: &Value) -> String {
    match value {
        Value::Null => "null; leave the key out instead".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the string {}", quoted(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// The words separated by commas, with `last` before the last word.
pub(super) fn listed(words: &[String], last: &str) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., end] => format!("{} {last} {end}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Path, listed, quoted};

    #[test]
    fn a_path_is_written_as_in_javascript() {
        let location = Path::Root.key("locations");
        let location = location.index(1);
        assert_eq!(location.key("url").to_string(), "locations[1].url");
        let store = Path::Root.key("store");
        assert_eq!(store.key("a b\n").to_string(), r#"store["a b\n"]"#);
        assert_eq!(store.key("").to_string(), r#"store[""]"#);
        assert_eq!(Path::Root.to_string(), "");
    }

    #[test]
    fn a_repeated_text_stays_short_and_on_its_line() {
        assert_eq!(quoted("a\r\n\u{85}\u{1b}b"), r#""a\r\n\u{85}\u{1b}b""#);
        assert_eq!(quoted(&"é".repeat(90)), format!("\"{}\"…", "é".repeat(40)));
    }

    #[test]
    fn of_a_url_nothing_secret_is_repeated() {
        assert_eq!(quoted("http://me:hush@a/b?token=hush"), "\"http://…@a/b?…\"");
        assert_eq!(quoted("ftp://a/b"), "\"ftp://a/b\"");
    }

    #[test]
    fn lists_read_as_a_sentence() {
        let words = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(listed(&words, "or"), "a, b or c");
        assert_eq!(listed(&words[..1], "or"), "a");
        assert_eq!(listed(&[], "or"), "");
    }
}
