//! Pattern: the paths of one location, and where the channel ids stand in them. Pure; made at
//! start and on reload, not changed in between.

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::hir::{Hir, HirKind, Look};

use super::spelling::{self, PatternError};

/// Groups within groups: twice the parser's own limit and more, since written out there are more.
pub(crate) const NEST_MAX: u32 = 1000;

/// Longest `url` or `prefix`: its spellings take a thousand times as much memory for a moment.
const PATTERN_BYTES_MAX: usize = 8 << 10;

/// Largest compiled expression.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// The paths of one location: a regular expression whose one capture group is the channel id or a
/// list of them, a literal prefix before it, or an expression without a group. Matched on the raw
/// path, anchored at both ends. Text of the pattern that clients percent-encode is matched in each
/// of its spellings.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// `url`, and a `prefix` that has several spellings.
    Url(Regex),
    /// `url` of the form literal + `([^/]+)`: most are, and need no regular expression.
    Segment(Box<str>),
    /// `prefix`: the same as `url` = escaped prefix + `(.+)`.
    Prefix(Box<str>),
    /// `url` of a location whose channel ids stand in the query.
    Whole(Regex),
}

impl Pattern {
    /// A pattern of the setting `url`.
    ///
    /// # Errors
    /// If it does not compile, is too large, or does not have just one group that can hold
    /// a channel id.
    pub fn url(expression: &str) -> Result<Self, PatternError> {
        let (hir, anchored) = read(expression)?;
        match anchored.captures_len() - 1 {
            0 => Err(PatternError(NO_GROUP.to_owned())),
            1 if has_empty_group(&hir) => Err(PatternError(EMPTY_GROUP.to_owned())),
            1 if spelling::has_dot_segment(&hir) => Err(PatternError(DOTS.to_owned())),
            1 => Ok(segment(expression).unwrap_or(Self::Url(anchored))),
            groups => Err(PatternError(format!(
                "{groups} capture groups; exactly one may capture, write the others as (?:…)"
            ))),
        }
    }

    /// A pattern of the setting `url` beside `query`.
    ///
    /// # Errors
    /// If it does not compile, is too large, or has a capture group.
    pub fn whole(expression: &str) -> Result<Self, PatternError> {
        let (hir, anchored) = read(expression)?;
        match anchored.captures_len() - 1 {
            0 if spelling::has_dot_segment(&hir) => Err(PatternError(DOTS.to_owned())),
            0 => Ok(Self::Whole(anchored)),
            _ => Err(PatternError(GROUP.to_owned())),
        }
    }

    /// A pattern of the setting `prefix`.
    ///
    /// # Errors
    /// If it is too long, too large when compiled, or has a segment `.` or `..`.
    pub fn prefix(prefix: &str) -> Result<Self, PatternError> {
        check_length(prefix)?;
        if spelling::is_with_dots(prefix.as_bytes()) {
            return Err(PatternError(DOTS.to_owned()));
        }
        match spelling::literal(prefix.as_bytes(), true) {
            None => Ok(Self::Prefix(prefix.into())),
            Some(text) => {
                anchored(Hir::concat(vec![text, spelling::parse("(.+)")?])).map(Self::Url)
            }
        }
    }

    /// The regular expression for the whole path, as it is matched.
    #[must_use]
    pub fn expression(&self) -> String {
        match self {
            Self::Url(regex) | Self::Whole(regex) => regex.as_str().to_owned(),
            Self::Segment(prefix) => format!("{}[^/]+", regex::escape(prefix)),
            Self::Prefix(prefix) => format!("{}.+", regex::escape(prefix)),
        }
    }

    /// The channel ids' part of `path`, still percent-encoded; `None` if the path is not ours.
    #[cfg(test)]
    pub(crate) fn channel_part<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        match self {
            Self::Url(regex) => regex.captures(path)?.get(1).map(|group| group.as_bytes()),
            other => other.uncaptured_part(path),
        }
    }

    /// As `channel_part`, but of an expression with a group.
    pub(super) fn uncaptured_part<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        match self {
            Self::Prefix(prefix) => {
                path.strip_prefix(prefix.as_bytes()).filter(|id| !id.is_empty())
            }
            Self::Segment(prefix) => path
                .strip_prefix(prefix.as_bytes())
                .filter(|id| !id.is_empty() && memchr::memchr(b'/', id).is_none()),
            Self::Whole(regex) => regex.is_match(path).then(|| &path[path.len()..]),
            Self::Url(_) => None,
        }
    }
}

/// The expression, parsed and as it is matched.
fn read(expression: &str) -> Result<(Hir, Regex), PatternError> {
    check_length(expression)?;
    let hir = spelling::parse(expression)?;
    let anchored = anchored(spelling::spelled(&hir).unwrap_or_else(|| hir.clone()))?;
    Ok((hir, anchored))
}

/// A literal followed by `([^/]+)`, if `expression` is just that, in one spelling.
fn segment(expression: &str) -> Option<Pattern> {
    let literal = expression.strip_suffix("([^/]+)")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_~:=@!,;'".contains(&byte);
    literal.bytes().all(plain).then(|| Pattern::Segment(literal.into()))
}

/// Whether some capture group takes no character.
fn has_empty_group(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Capture(group) => group.sub.properties().maximum_len() == Some(0),
        kind => kind.subs().iter().any(has_empty_group),
    }
}

const NO_GROUP: &str =
    "no capture group; put parentheses around the channel id, as in /updates/([^/]+)";

const EMPTY_GROUP: &str =
    "the capture group takes no character, but is the channel id; write ([^/]+)";

const GROUP: &str = "a capture group, but the channel ids stand in the query; write (?:…)";

const DOTS: &str =
    "no path has a segment \".\" or \"..\", since clients resolve them; leave it out";

fn check_length(pattern: &str) -> Result<(), PatternError> {
    match pattern.len() {
        0..=PATTERN_BYTES_MAX => Ok(()),
        bytes => {
            Err(PatternError(format!("{bytes} bytes, and a pattern can have {PATTERN_BYTES_MAX}")))
        }
    }
}

/// The parsed expression, for the whole path. Written out, so that neither a bracket nor a comment
/// of the expression (`(?x)a # b`) reaches beyond it.
fn anchored(hir: Hir) -> Result<Regex, PatternError> {
    let whole = Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]);
    // As it is written out, it is in Unicode mode wherever it does not say otherwise.
    RegexBuilder::new(&format!("(?u:{whole})"))
        .unicode(false)
        .size_limit(COMPILED_BYTES_MAX)
        .nest_limit(NEST_MAX)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => PatternError(format!(
                "compiled, it has more than {COMPILED_BYTES_MAX} bytes; write shorter text or \
                 smaller repetitions, as in {{1,100}}"
            )),
            error => spelling::syntax(&error.to_string()),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_anchored_and_its_group_is_the_channel() {
        for pattern in [
            Pattern::url("/updates/([^/]+)").unwrap(),
            Pattern::url("(?:/updates)/([^/]+)").unwrap(),
        ] {
            assert_eq!(pattern.channel_part(b"/updates/a%2Fb"), Some(&b"a%2Fb"[..]));
            for path in ["/updates/", "/updates/a/b", "/x/updates/a", "/updates/a/"] {
                assert_eq!(pattern.channel_part(path.as_bytes()), None, "{path}");
            }
        }
        let digits = Pattern::url(r"/u/(\d+)\.json").unwrap();
        assert_eq!(digits.channel_part(b"/u/42.json"), Some(&b"42"[..]));
        assert_eq!(digits.channel_part(b"/u/42xjson"), None);
    }

    #[test]
    fn an_expression_of_alternatives_is_anchored_as_a_whole() {
        let pattern = Pattern::url("/a/(.+)|/b/x").unwrap();
        assert_eq!(pattern.channel_part(b"/a/1"), Some(&b"1"[..]));
        assert_eq!(pattern.channel_part(b"/b/x"), None, "no channel in it");
        assert_eq!(pattern.channel_part(b"/b/xyz"), None);
    }

    #[test]
    fn a_comment_at_the_end_hides_neither_the_anchor_nor_a_fault() {
        let pattern = Pattern::url("(?x) /s/ ([a-z]+) # id").unwrap();
        assert_eq!(pattern.channel_part(b"/s/a"), Some(&b"a"[..]));
        for path in ["/s/ab1", "/s/a/", "x/s/a", "/s/a\n"] {
            assert_eq!(pattern.channel_part(path.as_bytes()), None, "{path}");
        }
        let hash = Pattern::url("/s/([a-z]+)#").unwrap();
        assert_eq!(hash.channel_part(b"/s/a#"), Some(&b"a"[..]));
        let error = |expression| Pattern::url(expression).unwrap_err().to_string();
        assert!(error("(?x) /s/ ([a-z]+ # id)").starts_with("not a regular expression: "));
        assert_eq!(error("(?x) /s/ # ([a-z]+)"), NO_GROUP);
    }

    #[test]
    fn as_many_groups_within_groups_as_the_parser_takes_are_served() {
        let nested = format!("/{}([a-z]+){}", "(?:a".repeat(82), ")?".repeat(82));
        let pattern = Pattern::url(&nested).unwrap();
        assert_eq!(pattern.channel_part(b"/aab"), None);
        let path = format!("/{}b", "a".repeat(82));
        assert_eq!(pattern.channel_part(path.as_bytes()), Some(&b"b"[..]));
    }

    #[test]
    fn beside_a_query_the_expression_is_the_whole_path_and_captures_nothing() {
        let pattern = Pattern::whole("/updates(?:/x)?").unwrap();
        assert_eq!(pattern.channel_part(b"/updates"), Some(&b""[..]));
        assert_eq!(pattern.channel_part(b"/updates/x"), Some(&b""[..]));
        for path in ["/updates/", "/updatesx", "/a/updates"] {
            assert_eq!(pattern.channel_part(path.as_bytes()), None, "{path}");
        }
        let error = |expression| Pattern::whole(expression).unwrap_err().to_string();
        assert_eq!(error("/updates/([^/]+)"), GROUP);
        assert_eq!(error(r"/a/\.\./b"), DOTS);
    }

    #[test]
    fn expressions_without_just_one_group_are_refused() {
        let error = |expression| Pattern::url(expression).unwrap_err().to_string();
        assert_eq!(error("/a/b"), NO_GROUP);
        assert!(error("/(a)/(b)").starts_with("2 capture groups; "));
        assert!(error("/a/([^/]+").starts_with("not a regular expression: "));
        assert!(error("/a)(b").starts_with("not a regular expression: "));
    }
}
