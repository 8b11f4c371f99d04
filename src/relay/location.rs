//! Which location serves a path, and which channel the path names. Pure.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

/// The paths of one location: a regular expression whose one capture group is the channel id, or
/// a literal prefix before it. Matched on the raw path, anchored at both ends.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// `url`.
    Url(Regex),
    /// `prefix`: the same as `url` = escaped prefix + `(.+)`, without the regular expression.
    Prefix(Box<[u8]>),
}

/// Why an expression is refused as `url`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternError {
    /// It is no regular expression; the parser's own words.
    Syntax(String),
    /// It has this many capture groups instead of one.
    Groups(usize),
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(words) => write!(f, "not a regular expression: {words}"),
            Self::Groups(0) => f.write_str(
                "no capture group; put parentheses around the channel id, as in /updates/([^/]+)",
            ),
            Self::Groups(n) => write!(
                f,
                "{n} capture groups; exactly one may capture, write the others as (?:…)"
            ),
        }
    }
}

impl Pattern {
    /// A pattern of the setting `url`.
    ///
    /// # Errors
    /// [`PatternError`] if it does not compile, is too large, or does not have just one group.
    pub fn url(expression: &str) -> Result<Self, PatternError> {
        // The bare expression first: `a)(b` is an error, though it compiles between `^(?:` and `)$`.
        compile(expression)?;
        let anchored = compile(&format!("^(?:{expression})$"))?;
        match anchored.captures_len() - 1 {
            1 => Ok(Self::Url(anchored)),
            groups => Err(PatternError::Groups(groups)),
        }
    }

    /// A pattern of the setting `prefix`.
    #[must_use]
    pub fn prefix(prefix: &str) -> Self {
        Self::Prefix(prefix.as_bytes().into())
    }

    /// The channel id's part of `path`, still percent-encoded; `None` if the path is not ours.
    #[must_use]
    pub fn channel_part<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        match self {
            Self::Prefix(prefix) => path.strip_prefix(&**prefix).filter(|id| !id.is_empty()),
            // A group that took no part in the match captures nothing: no channel.
            Self::Url(regex) => regex.captures(path)?.get(1).map(|group| group.as_bytes()),
        }
    }
}

fn compile(expression: &str) -> Result<Regex, PatternError> {
    RegexBuilder::new(expression)
        .unicode(false)
        .size_limit(1 << 20)
        .build()
        .map_err(|error| PatternError::Syntax(one_line(&error.to_string())))
}

/// The parser draws the expression with a caret below; its last line says what is wrong.
fn one_line(words: &str) -> String {
    words.lines().last().unwrap_or(words).trim_start_matches("error: ").to_owned()
}
