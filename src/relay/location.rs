//! Which location serves a path, which channel the path names, and the header lines that every
//! answer of a location carries. Pure; made at start and on reload, not changed in between.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use regex::bytes::{CaptureLocations, Regex, RegexBuilder};
use regex_syntax::hir::{Hir, HirKind, Look};

use super::options::{LocationOptions, Origins, Role, SubscriberOptions};
use crate::store::StoreId;

pub(crate) mod spelling;

/// Longest `url` or `prefix`: its spellings take a thousand times as much memory for a moment.
const PATTERN_BYTES_MAX: usize = 16 << 10;

/// The paths of one location: a regular expression whose one capture group is the channel id, or
/// a literal prefix before it. Matched on the raw path, anchored at both ends. Text of the pattern
/// that clients percent-encode is matched in each of its spellings.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// `url`, and a `prefix` that has several spellings.
    Url(Regex),
    /// `url` of the form literal + `([^/]+)`: most are, and need no regular expression.
    Segment(Box<str>),
    /// `prefix`: the same as `url` = escaped prefix + `(.+)`.
    Prefix(Box<str>),
}

/// Why an expression is refused as `url`.
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
            Self::Length(bytes) => {
                write!(f, "{bytes} bytes, and a pattern can have {PATTERN_BYTES_MAX}")
            }
        }
    }
}

impl Pattern {
    /// A pattern of the setting `url`.
    ///
    /// # Errors
    /// [`PatternError`] if it does not compile, is too large, or does not have just one group that
    /// can hold a channel id.
    pub fn url(expression: &str) -> Result<Self, PatternError> {
        check_length(expression)?;
        // The bare expression first: `a)(b` is an error, though it compiles between `^(?:` and `)$`.
        let hir = spelling::parse(expression)?;
        let anchored = match spelling::spelled(&hir) {
            None => compile(&format!("^(?:{expression})$"))?,
            Some(spelled) => compile_spelled(spelled)?,
        };
        match anchored.captures_len() - 1 {
            1 if has_empty_group(&hir) => Err(PatternError::Empty),
            1 if spelling::has_dot_segment(&hir) => Err(PatternError::Dots),
            1 => Ok(segment(expression).unwrap_or(Self::Url(anchored))),
            groups => Err(PatternError::Groups(groups)),
        }
    }

    /// A pattern of the setting `prefix`.
    ///
    /// # Errors
    /// [`PatternError::Length`] and [`PatternError::Dots`].
    pub fn prefix(prefix: &str) -> Result<Self, PatternError> {
        check_length(prefix)?;
        if spelling::is_with_dots(prefix.as_bytes()) {
            return Err(PatternError::Dots);
        }
        match spelling::literal(prefix.as_bytes(), true) {
            None => Ok(Self::Prefix(prefix.into())),
            Some(text) => {
                compile_spelled(Hir::concat(vec![text, spelling::parse("(.+)")?])).map(Self::Url)
            }
        }
    }

    /// The regular expression for the whole path, as it is matched.
    #[must_use]
    pub fn expression(&self) -> String {
        match self {
            Self::Url(regex) => regex.as_str().to_owned(),
            Self::Segment(prefix) => format!("{}[^/]+", regex::escape(prefix)),
            Self::Prefix(prefix) => format!("{}.+", regex::escape(prefix)),
        }
    }

    /// The channel id's part of `path`, still percent-encoded; `None` if the path is not ours.
    #[must_use]
    pub fn channel_part<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        match self {
            Self::Url(regex) => regex.captures(path)?.get(1).map(|group| group.as_bytes()),
            literal => literal.literal_part(path),
        }
    }

    fn literal_part<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        match self {
            Self::Prefix(prefix) => path.strip_prefix(prefix.as_bytes()).filter(|id| !id.is_empty()),
            Self::Segment(prefix) => path
                .strip_prefix(prefix.as_bytes())
                .filter(|id| !id.is_empty() && memchr::memchr(b'/', id).is_none()),
            Self::Url(_) => None,
        }
    }
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

fn check_length(pattern: &str) -> Result<(), PatternError> {
    match pattern.len() {
        0..=PATTERN_BYTES_MAX => Ok(()),
        bytes => Err(PatternError::Length(bytes)),
    }
}

fn compile_spelled(hir: Hir) -> Result<Regex, PatternError> {
    let anchored = Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]);
    // As it is written out, it is in Unicode mode wherever it does not say otherwise.
    compile(&format!("(?u:{anchored})"))
}

fn compile(expression: &str) -> Result<Regex, PatternError> {
    RegexBuilder::new(expression)
        .unicode(false)
        .size_limit(1 << 20)
        .build()
        .map_err(|error| PatternError::syntax(&error.to_string()))
}

impl PatternError {
    /// The parser draws the expression with a caret below; its last line says what is wrong.
    fn syntax(words: &str) -> Self {
        let last = words.lines().last().unwrap_or(words);
        Self::Syntax(last.trim_start_matches("error: ").to_owned())
    }
}

/// Which of a location's origins a request came from; says which header lines its answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OriginSlot(u16);

impl OriginSlot {
    /// None of the listed ones.
    pub(super) const UNLISTED: Self = Self(0);
}

/// Every answer to a preflight is good for ten days (as the old server said).
const MAX_AGE: &str = "Access-Control-Max-Age: 864000\r\n";

/// What a subscriber's script may read of an answer.
const EXPOSE: &str =
    "Access-Control-Expose-Headers: Last-Modified, Etag, Cache-Control, X-Push-Gap\r\n";

/// One location, ready to serve.
#[derive(Debug)]
pub(super) struct Location {
    pub(super) store: StoreId,
    /// Goes before a channel id, so that no other store or group has a channel of that name.
    pub(super) namespace: Box<[u8]>,
    pub(super) role: Role,
    /// URL that is told of holds; shared with the notices that are on their way.
    pub(super) passthrough: Option<Arc<str>>,
    /// Header lines of every answer, by [`OriginSlot`]; the first is for an unlisted origin.
    lines: Vec<Box<[u8]>>,
    /// Further header lines of the answer to OPTIONS: to any origin, and to one that is let in.
    allow: Box<[u8]>,
    preflight: Box<[u8]>,
}

impl Location {
    fn new(options: &LocationOptions) -> Self {
        let mut namespace = options.store.0.to_be_bytes().to_vec();
        namespace.extend_from_slice(options.channel_group.as_bytes());
        namespace.push(0);
        let (origins, lines, preflight, passthrough) = match &options.role {
            Role::Subscriber(subscriber) => (
                &subscriber.allow_origin,
                subscriber_lines(subscriber),
                "Access-Control-Allow-Methods: GET\r\n\
                 Access-Control-Allow-Headers: If-Modified-Since, If-None-Match, Etag, \
                 Last-Event-ID, X-Cookie, X-Requested-With\r\n",
                subscriber.passthrough.as_deref().map(Into::into),
            ),
            Role::Publisher(publisher) => (
                &publisher.allow_origin,
                String::new(),
                "Access-Control-Allow-Methods: GET, HEAD, POST, PUT, DELETE\r\n\
                 Access-Control-Allow-Headers: Authorization, Content-Type\r\n",
                None,
            ),
        };
        Self {
            store: options.store,
            namespace: namespace.into(),
            role: options.role.clone(),
            passthrough,
            lines: origin_lines(origins, &lines),
            allow: format!("Allow: {}\r\n", options.role.methods()).into_bytes().into(),
            preflight: format!("{preflight}{MAX_AGE}").into_bytes().into(),
        }
    }

    /// Where a request with this `Origin` header belongs.
    pub(super) fn origin_slot(&self, origin: Option<&[u8]>) -> OriginSlot {
        match (self.role.allow_origin(), origin) {
            (Origins::Listed(list), Some(origin)) => {
                let found = list.iter().position(|listed| listed.as_bytes() == origin);
                let slot = found.and_then(|index| u16::try_from(index + 1).ok());
                slot.map_or(OriginSlot::UNLISTED, OriginSlot)
            }
            _ => OriginSlot::UNLISTED,
        }
    }

    /// Whether pages of this origin are let in.
    pub(super) fn admits(&self, slot: OriginSlot) -> bool {
        match self.role.allow_origin() {
            Origins::Nobody => false,
            Origins::Any => true,
            Origins::Listed(_) => slot != OriginSlot::UNLISTED,
        }
    }

    /// Header lines that every answer to this origin carries.
    pub(super) fn lines(&self, slot: OriginSlot) -> &[u8] {
        self.lines.get(usize::from(slot.0)).map_or(b"", |lines| lines)
    }

    /// The line `Allow`.
    pub(super) fn allow(&self) -> &[u8] {
        &self.allow
    }

    /// Header lines of the answer to a preflight, beside [`Location::lines`] and
    /// [`Location::allow`].
    pub(super) fn preflight(&self, slot: OriginSlot) -> &[u8] {
        if self.admits(slot) { &self.preflight } else { b"" }
    }
}

impl Role {
    /// The value of `Allow`.
    pub(super) fn methods(&self) -> &'static str {
        match self {
            Self::Publisher(_) => "GET, HEAD, POST, PUT, DELETE, OPTIONS",
            Self::Subscriber(_) => "GET, OPTIONS",
        }
    }

    fn allow_origin(&self) -> &Origins {
        match self {
            Self::Publisher(publisher) => &publisher.allow_origin,
            Self::Subscriber(subscriber) => &subscriber.allow_origin,
        }
    }
}

fn subscriber_lines(options: &SubscriberOptions) -> String {
    let credentials = "Access-Control-Allow-Credentials: true\r\n";
    format!("{}{EXPOSE}", if options.allow_credentials { credentials } else { "" })
}

/// The lines for an unlisted origin, then those for each listed one. Where the answer depends on
/// the origin, caches are told so (Fetch standard, "CORS protocol and HTTP caches").
fn origin_lines(origins: &Origins, others: &str) -> Vec<Box<[u8]>> {
    let lines = |text: String| text.into_bytes().into_boxed_slice();
    match origins {
        Origins::Nobody => vec![lines(String::new())],
        Origins::Any => vec![lines(format!("Access-Control-Allow-Origin: *\r\n{others}"))],
        Origins::Listed(list) => std::iter::once(lines("Vary: Origin\r\n".to_owned()))
            .chain(list.iter().map(|origin| {
                lines(format!("Access-Control-Allow-Origin: {origin}\r\n{others}Vary: Origin\r\n"))
            }))
            .collect(),
    }
}

/// A location, and the channel id's part of the path.
pub(super) type Found<'p> = (Rc<Location>, &'p [u8]);

/// All locations, in order.
#[derive(Debug)]
pub(super) struct Routes(Vec<Route>);

#[derive(Debug)]
struct Route {
    pattern: Pattern,
    /// Room for the result of a regular expression, so that a match allocates nothing.
    captures: Option<CaptureLocations>,
    location: Rc<Location>,
}

impl Routes {
    pub(super) fn new(locations: &[LocationOptions]) -> Self {
        let route = |options: &LocationOptions| Route {
            pattern: options.pattern.clone(),
            captures: match &options.pattern {
                Pattern::Url(regex) => Some(regex.capture_locations()),
                Pattern::Segment(_) | Pattern::Prefix(_) => None,
            },
            location: Rc::new(Location::new(options)),
        };
        Self(locations.iter().map(route).collect())
    }

    /// The first location that serves `path`, and the channel id's part of the path.
    pub(super) fn find<'p>(&mut self, path: &'p [u8]) -> Option<Found<'p>> {
        self.0.iter_mut().find_map(|route| {
            let part = match (&route.pattern, &mut route.captures) {
                (Pattern::Url(regex), Some(captures)) => {
                    regex.captures_read(captures, path)?;
                    let (start, end) = captures.get(1)?;
                    path.get(start..end)?
                }
                (literal, _) => literal.literal_part(path)?,
            };
            Some((Rc::clone(&route.location), part))
        })
    }
}

/// Why a channel id is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdError {
    /// `%` without two hexadecimal digits.
    Percent,
    /// A control character.
    Control,
    /// Nothing, or longer than the limit.
    Length,
}

/// Appends the channel id of a path's part, percent-decoded once, to `out`.
pub(super) fn decode_channel_id(
    part: &[u8],
    bytes_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), IdError> {
    let start = out.len();
    let mut rest = part.iter();
    while let Some(&byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || {
                    let digit = *rest.next().ok_or(IdError::Percent)?;
                    (digit as char).to_digit(16).ok_or(IdError::Percent)
                };
                (digit()? << 4 | digit()?) as u8
            }
            byte => byte,
        };
        if byte.is_ascii_control() {
            return Err(IdError::Control);
        }
        out.push(byte);
    }
    match out.len() - start {
        length if length > 0 && length <= bytes_max => Ok(()),
        _ => Err(IdError::Length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::options::PublisherOptions;

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
    fn expressions_without_just_one_group_are_refused() {
        assert_eq!(Pattern::url("/a/b").unwrap_err(), PatternError::Groups(0));
        assert_eq!(Pattern::url("/(a)/(b)").unwrap_err(), PatternError::Groups(2));
        assert!(matches!(Pattern::url("/a/([^/]+"), Err(PatternError::Syntax(_))));
        assert!(matches!(Pattern::url("/a)(b"), Err(PatternError::Syntax(_))));
    }

    #[test]
    fn an_origin_that_no_slot_is_left_for_is_none_of_the_listed() {
        let origin = |index: usize| format!("http://h{index}");
        let publisher = PublisherOptions {
            create_on_post: true,
            store_messages: true,
            allow: Vec::new(),
            secret: None,
            allow_origin: Origins::Listed((1..=65_537).map(origin).collect()),
        };
        let location = Location::new(&LocationOptions {
            pattern: Pattern::prefix("/").unwrap(),
            store: StoreId(0),
            channel_group: String::new(),
            role: Role::Publisher(publisher),
        });
        let slot = |index| location.origin_slot(Some(origin(index).as_bytes()));
        assert_eq!(slot(65_535), OriginSlot(65_535));
        assert_eq!((slot(65_536), slot(65_537)), (OriginSlot::UNLISTED, OriginSlot::UNLISTED));
        assert!(location.admits(slot(1)) && !location.admits(slot(65_536)));
    }

    #[test]
    fn a_channel_id_is_decoded_once_and_holds_no_controls() {
        let decode = |part: &[u8]| {
            let mut out = Vec::new();
            decode_channel_id(part, 8, &mut out).map(|()| out)
        };
        assert_eq!(decode(b"a%2Fb"), Ok(b"a/b".to_vec()));
        assert_eq!(decode(b"a%2520"), Ok(b"a%20".to_vec()));
        assert_eq!(decode(b"%c5%A1"), Ok(b"\xc5\xa1".to_vec()));
        assert_eq!(decode(b"a+b"), Ok(b"a+b".to_vec()));
        for bad in [&b"%zz"[..], b"%4", b"%", b"%+1"] {
            assert_eq!(decode(bad), Err(IdError::Percent));
        }
        for bad in [&b"%00"[..], b"a%0d%0ab", b"%7f"] {
            assert_eq!(decode(bad), Err(IdError::Control));
        }
        assert_eq!(decode(b"123456789"), Err(IdError::Length));
        assert_eq!(decode(b""), Err(IdError::Length));
    }
}
