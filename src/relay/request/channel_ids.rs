//! Channel ids: read from where a location has them in a request, and decoded once. Pure; looks no
//! channel up.

use crate::relay::location::Location;
use crate::relay::names::Names;
use crate::relay::options::{ChannelIds, Limits};

/// Why a request names no channel, or none that can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum BadIds {
    /// A `%` that does not begin `%XX`; answered 400.
    NotEncoded,
    /// A control character; answered 400.
    Control,
    /// The one id is empty or too long, or one of several is too long; answered 403.
    Length,
    /// One of several is empty, or there is none; answered 400.
    Missing,
    /// More than `limits.channels_per_request`; answered 403.
    TooMany,
}

impl BadIds {
    pub(super) fn status(self) -> u16 {
        match self {
            Self::NotEncoded | Self::Control | Self::Missing => 400,
            Self::Length | Self::TooMany => 403,
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::NotEncoded => "a % in the channel id must begin %XX, with two hexadecimal digits",
            Self::Control => "a channel id may not have control characters",
            Self::Length => "the channel id is empty or longer than limits.channel_id_bytes",
            Self::Missing => {
                "a channel id is empty or missing; name at least one channel, as the location's \
                 delimiter or query says"
            }
            Self::TooMany => {
                "more channels in one request than limits.channels_per_request; ask for fewer, or \
                 raise it"
            }
        }
    }
}

/// Fills `names` with the channels of a request. `part`: what the location's pattern captured;
/// `query`: that of the request.
///
/// # Errors
/// [`BadIds`].
pub(super) fn read(
    location: &Location,
    part: &[u8],
    query: Option<&[u8]>,
    limits: &Limits,
    names: &mut Names,
) -> Result<(), BadIds> {
    names.clear();
    let mut reader = Reader { location, limits, names };
    match &location.ids {
        ChannelIds::One => return reader.add(part, false),
        ChannelIds::Split(delimiter) => {
            for id in split(part, delimiter.as_bytes()) {
                reader.add_listed(id, false)?;
            }
        }
        ChannelIds::Query(name) => {
            let pairs = query.unwrap_or_default().split(|byte| *byte == b'&');
            for id in pairs.filter_map(|pair| value_of(pair, name.as_bytes())) {
                reader.add_listed(id, true)?;
            }
        }
    }
    if names.len() == 0 { Err(BadIds::Missing) } else { Ok(()) }
}

struct Reader<'a> {
    location: &'a Location,
    limits: &'a Limits,
    names: &'a mut Names,
}

impl Reader<'_> {
    /// As [`Reader::add`], of an id that others may stand beside.
    fn add_listed(&mut self, id: &[u8], is_form: bool) -> Result<(), BadIds> {
        if id.is_empty() {
            return Err(BadIds::Missing);
        }
        self.add(id, is_form)?;
        let is_too_many = self.names.len() > self.limits.channels_per_request;
        if is_too_many { Err(BadIds::TooMany) } else { Ok(()) }
    }

    /// Adds the channel of an id, which is decoded once. `is_form`: as in HTML forms.
    fn add(&mut self, id: &[u8], is_form: bool) -> Result<(), BadIds> {
        let name = self.names.begin(&self.location.namespace);
        let start = name.len();
        if id.iter().all(stands_for_itself) {
            // The common case: one copy.
            name.extend_from_slice(id);
        } else {
            for byte in decoded(id, is_form) {
                let byte = byte.ok_or(BadIds::NotEncoded)?;
                if byte.is_ascii_control() {
                    return Err(BadIds::Control);
                }
                name.push(byte);
            }
        }
        let length = name.len() - start;
        if length == 0 || length > self.limits.channel_id_bytes {
            return Err(BadIds::Length);
        }
        self.names.add();
        Ok(())
    }
}

/// Whether a byte of an id is just that, whatever it stands beside, in a path and in a form.
fn stands_for_itself(byte: &u8) -> bool {
    !byte.is_ascii_control() && !matches!(byte, b'%' | b'+')
}

/// The pieces of `list` between the delimiters, which are not empty and not decoded.
fn split<'l>(list: &'l [u8], delimiter: &'l [u8]) -> impl Iterator<Item = &'l [u8]> {
    let mut ends = memchr::memmem::find_iter(list, delimiter);
    let mut start = Some(0);
    std::iter::from_fn(move || {
        let from = start?;
        let end = ends.next();
        start = end.map(|end| end + delimiter.len());
        Some(&list[from..end.unwrap_or(list.len())])
    })
}

/// The value of a query's parameter, if it has this name; empty without `=`. Both are written as
/// in HTML forms (URL standard 5.1).
pub(super) fn value_of<'q>(pair: &'q [u8], name: &[u8]) -> Option<&'q [u8]> {
    let end = memchr::memchr(b'=', pair).unwrap_or(pair.len());
    let (given, value) = pair.split_at(end);
    let is_named = decoded(given, true).map(|byte| byte.unwrap_or(b'%')).eq(name.iter().copied());
    is_named.then(|| value.get(1..).unwrap_or_default())
}

/// The bytes of `text`, percent-decoded once; `None` for a `%` that begins no `%XX`. `is_form`: a
/// `+` is a space.
pub(super) fn decoded(mut text: &[u8], is_form: bool) -> impl Iterator<Item = Option<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    std::iter::from_fn(move || {
        let (&first, rest) = text.split_first()?;
        text = rest;
        match (first, rest) {
            (b'%', [high, low, rest @ ..]) => {
                let byte = digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low);
                if byte.is_some() {
                    text = rest;
                }
                Some(byte)
            }
            (b'%', _) => Some(None),
            (b'+', _) if is_form => Some(Some(b' ')),
            (byte, _) => Some(Some(byte)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::location::Pattern;
    use crate::relay::options::{LocationOptions, Origins, PublisherOptions, Role};
    use crate::store::StoreId;

    /// The ids, or what is wrong with them.
    fn ids(kind: ChannelIds, part: &[u8], query: &str) -> Result<Vec<String>, BadIds> {
        let location = Location::new(
            &LocationOptions {
                pattern: Pattern::prefix("/").unwrap(),
                shown: "/".into(),
                ids: kind,
                store: StoreId(0),
                channel_group: "g".to_owned(),
                role: Role::Publisher(PublisherOptions {
                    create_on_post: true,
                    store_messages: true,
                    allow: Vec::new(),
                    secret: None,
                    allow_origin: Origins::Nobody,
                }),
                signed: None,
            },
            0,
        );
        let limits = Limits { channel_id_bytes: 8, channels_per_request: 3, ..Limits::default() };
        let mut names = Names::default();
        read(&location, part, Some(query.as_bytes()), &limits, &mut names)?;
        let id = |name: &[u8]| {
            let id = name.strip_prefix(b"\0\0g\0").expect("the namespace");
            id.escape_ascii().to_string()
        };
        Ok(names.iter().map(id).collect())
    }

    #[track_caller]
    fn check(given: Result<Vec<String>, BadIds>, wanted: Result<&[&str], BadIds>) {
        assert_eq!(given, wanted.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect()));
    }

    #[test]
    fn a_channel_id_is_decoded_once_and_holds_no_controls() {
        let one = |part: &[u8]| ids(ChannelIds::One, part, "");
        check(one(b"a%2Fb"), Ok(&["a/b"]));
        check(one(b"a%2520"), Ok(&["a%20"]));
        check(one(b"%c5%A1"), Ok(&["\\xc5\\xa1"]));
        check(one(b"a+b,c"), Ok(&["a+b,c"]));
        for bad in [&b"%zz"[..], b"%4", b"%", b"%+1", b"%z1"] {
            check(one(bad), Err(BadIds::NotEncoded));
        }
        for bad in [&b"%00"[..], b"a%0d%0ab", b"%7f"] {
            check(one(bad), Err(BadIds::Control));
        }
        check(one(b"123456789"), Err(BadIds::Length));
        check(one(b""), Err(BadIds::Length));
    }

    #[test]
    fn a_list_is_split_before_its_ids_are_decoded() {
        let list = |part: &str| ids(ChannelIds::Split(",".into()), part.as_bytes(), "");
        check(list("a"), Ok(&["a"]));
        check(list("b,a,b,%61"), Ok(&["b", "a"]));
        check(list("a%2Cb,c+d"), Ok(&["a,b", "c+d"]));
        check(list("a,a,a,b,c"), Ok(&["a", "b", "c"]));
        check(list("a,b,c,d"), Err(BadIds::TooMany));
        for bad in ["", ",", "a,", ",a", "a,,b"] {
            check(list(bad), Err(BadIds::Missing));
        }
        check(list("a,%4"), Err(BadIds::NotEncoded));
        check(list("a,%00"), Err(BadIds::Control));
        check(list("12345678,123456789"), Err(BadIds::Length));
        let dashes = |part: &str| ids(ChannelIds::Split("--".into()), part.as_bytes(), "");
        check(dashes("a-b--c"), Ok(&["a-b", "c"]));
        check(dashes("a---b"), Ok(&["a", "-b"]));
        check(dashes("a----b"), Err(BadIds::Missing));
    }

    #[test]
    fn the_query_gives_ids_as_html_forms_write_them() {
        let query = |query: &str| ids(ChannelIds::Query("a b".into()), b"", query);
        check(query("a+b=x"), Ok(&["x"]));
        check(query("a%20b=x&c=%&a+b=y&a%20%62=x"), Ok(&["x", "y"]));
        check(query("a+b=x%2C+%2By=z"), Ok(&["x, +y=z"]));
        for bad in ["", "a+b", "a+b=", "a=x", "A+b=x", "a%b=x", "a+b=x&a+b="] {
            check(query(bad), Err(BadIds::Missing));
        }
        check(query("a+b=%f"), Err(BadIds::NotEncoded));
        check(query("a+b=%00"), Err(BadIds::Control));
        check(query("a+b=1&a+b=2&a+b=3&a+b=4"), Err(BadIds::TooMany));
        check(query("a+b=123456789"), Err(BadIds::Length));
        let percent = |query: &str| ids(ChannelIds::Query("%x".into()), b"", query);
        check(percent("%x=a&%25x=b"), Ok(&["a", "b"]));
    }
}
