//! JSON: parses bytes to a value, and refuses a key that is given twice, of which `serde_json`
//! would silently drop one. Knows no setting.

use std::fmt;
use std::io;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, error::Category};
use serde_path_to_error::Segment;

use super::problem::{Path, Problem, quoted};

/// Parses a text that is one value.
///
/// # Errors
/// The text is no JSON, has more behind the value, or gives a key twice.
pub(super) fn whole(text: &[u8]) -> Result<Value, Problem> {
    // Windows editors write a byte order mark first; RFC 8259 section 8.1 allows ignoring it.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if text.trim_ascii().is_empty() {
        return Err(Problem::new(&Path::Root, "empty; write {} for the defaults"));
    }
    let mut parser = serde_json::Deserializer::from_slice(text);
    let value = value(&mut parser, text)?;
    parser.end().map_err(|error| syntax(&error, text))?;
    Ok(value)
}

/// Parses the first value of a stream that stays open, without waiting for its end.
///
/// # Errors
/// As [`whole`].
pub(super) fn first(stream: impl io::Read) -> Result<Value, Problem> {
    value(&mut serde_json::Deserializer::from_reader(stream), b"")
}

fn value<'de, R>(parser: &mut serde_json::Deserializer<R>, text: &[u8]) -> Result<Value, Problem>
where
    R: serde_json::de::Read<'de>,
{
    match serde_path_to_error::deserialize::<_, Unique>(parser) {
        Ok(Unique(value)) => Ok(value),
        Err(error) if error.inner().classify() == Category::Data => Err(Problem {
            path: path(error.path()),
            what: format!("{} ({})", words(error.inner()), place(error.inner())),
        }),
        Err(error) => Err(syntax(error.inner(), text)),
    }
}

fn path(path: &serde_path_to_error::Path) -> String {
    fn chain(segments: &[&Segment], above: &Path<'_>) -> String {
        match segments {
            [] => above.to_string(),
            [Segment::Seq { index }, rest @ ..] => chain(rest, &above.index(*index)),
            [Segment::Map { key }, rest @ ..] => chain(rest, &above.key(key)),
            [_, rest @ ..] => chain(rest, above),
        }
    }
    chain(&path.iter().collect::<Vec<_>>(), &Path::Root)
}

fn syntax(error: &serde_json::Error, text: &[u8]) -> Problem {
    let what = match error.classify() {
        Category::Io => format!("cannot read it: {error}"),
        Category::Eof => format!("{}: the JSON ends too early ({})", place(error), words(error)),
        _ => format!("{}: not JSON: {}{}", place(error), words(error), hint(error, text)),
    };
    Problem::new(&Path::Root, what)
}

fn place(error: &serde_json::Error) -> String {
    format!("line {} column {}", error.line(), error.column())
}

/// The message without its own ` at line 1 column 2`.
fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    text[..end].to_owned()
}

/// What to write instead of the most frequent mistakes.
fn hint(error: &serde_json::Error, text: &[u8]) -> &'static str {
    let line = text.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1));
    let byte = line.and_then(|line| line.get(error.column().saturating_sub(1)));
    match byte {
        Some(b'\'') => "; JSON strings stand in double quotes",
        Some(b'/' | b'#') => "; JSON has no comments",
        Some(b'T' | b'F' | b'N') => "; JSON writes true, false and null",
        _ => "",
    }
}

/// A JSON value whose objects have each key once.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(value)) = seq.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if object.contains_key(&key) {
                let what = format!("the key {} is given twice", quoted(&key));
                return Err(A::Error::custom(what));
            }
            let Unique(value) = map.next_value()?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use serde_json::json;

    use super::{first, whole};

    fn refusal(text: &str) -> String {
        let problem = whole(text.as_bytes()).expect_err(text);
        format!("{}|{}", problem.path, problem.what)
    }

    #[test]
    fn every_kind_of_value_is_kept() {
        let value = json!({"a": [null, true, -1, 7, 0.5, "x"], "b": {"c": {}}});
        assert_eq!(whole(value.to_string().as_bytes()), Ok(value));
    }

    #[test]
    fn a_byte_order_mark_is_ignored() {
        assert_eq!(whole(b"\xef\xbb\xbf{}"), Ok(json!({})));
    }

    #[test]
    fn a_key_given_twice_is_refused_with_its_path() {
        assert_eq!(
            refusal("{\"locations\": [\n {\"url\": 1, \"url\": 2}]}"),
            r#"locations[0]|the key "url" is given twice (line 2 column 17)"#
        );
    }

    #[test]
    fn a_syntax_error_names_its_line_and_column() {
        assert_eq!(
            refusal("{\"a\": 1\n \"b\": 2}"),
            "|line 2 column 2: not JSON: expected `,` or `}`"
        );
        assert_eq!(refusal("{\"a\": 1,}"), "|line 1 column 9: not JSON: trailing comma");
        assert_eq!(
            refusal("{\"a\": {"),
            "|line 1 column 7: the JSON ends too early (EOF while parsing an object)"
        );
        assert_eq!(refusal("{} {}"), "|line 1 column 4: not JSON: trailing characters");
        assert_eq!(refusal(" \n"), "|empty; write {} for the defaults");
    }

    #[test]
    fn foreign_spellings_get_a_hint() {
        for (text, hint) in [
            ("{'a': 1}", "double quotes"),
            ("// mine\n{}", "no comments"),
            ("{\n# mine\n}", "no comments"),
            ("{\"a\": True}", "true, false and null"),
            ("{\"a\": None}", "true, false and null"),
        ] {
            assert!(refusal(text).contains(hint), "{text}: {}", refusal(text));
        }
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_crash() {
        assert!(refusal(&"[".repeat(100_000)).contains("recursion limit"));
    }

    #[test]
    fn a_stream_is_read_no_further_than_its_first_object() {
        /// Fails the test when it is asked for more than it has: a pipe would block there.
        struct Open<'t>(&'t [u8]);
        impl Read for Open<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                assert!(!self.0.is_empty(), "a pipe that stays open would block here");
                self.0.read(buffer)
            }
        }
        assert_eq!(first(Open(b" {\"port\": 0}")), Ok(json!({"port": 0})));
    }
}
