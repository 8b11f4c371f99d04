//! Pattern error: why a `url` or a `prefix` of the settings is refused. Only words.

use std::fmt;

/// Longest `url` or `prefix`: its spellings take a thousand times as much memory for a moment.
pub(super) const PATTERN_BYTES_MAX: usize = 8 << 10;

/// Largest compiled expression.
pub(super) const COMPILED_BYTES_MAX: usize = 1 << 20;

/// Why a `url` or a `prefix` is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternError {
    /// It is no regular expression; the parser's own words.
    Syntax(String),
    /// It has this many capture groups instead of one.
    Groups(usize),
    /// Its capture group takes no character.
    Empty,
    /// A class has characters beyond ASCII.
    Class,
    /// Its text has a segment `.` or `..`.
    Dots,
    /// It has this many bytes.
    Length(usize),
    /// Compiled, it takes more memory than a pattern may.
    Large,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(words) => write!(f, "not a regular expression: {words}"),
            Self::Groups(0) => f.write_str(
                "no capture group; put parentheses around the channel id, as in /updates/([^/]+)",
            ),
            Self::Groups(n) => {
                write!(f, "{n} capture groups; exactly one may capture, write the others as (?:…)")
            }
            Self::Empty => f.write_str(
                "the capture group takes no character, but is the channel id; write ([^/]+)",
            ),
            Self::Class => f.write_str(
                "a class, as in [äö], can have only ASCII characters, since a path has others \
                 percent-encoded; write alternatives, as in (?:ä|ö)",
            ),
            Self::Dots => f.write_str(
                "no path has a segment \".\" or \"..\", since clients resolve them; leave it out",
            ),
            Self::Large => write!(
                f,
                "compiled, it has more than {COMPILED_BYTES_MAX} bytes; write shorter text or \
                 smaller repetitions, as in {{1,100}}"
            ),
            Self::Length(bytes) => {
                write!(f, "{bytes} bytes, and a pattern can have {PATTERN_BYTES_MAX}")
            }
        }
    }
}

impl PatternError {
    /// The parser draws the expression with a caret below; its last line says what is wrong.
    pub(super) fn syntax(words: &str) -> Self {
        let last = words.lines().last().unwrap_or(words);
        Self::Syntax(last.trim_start_matches("error: ").to_owned())
    }
}
