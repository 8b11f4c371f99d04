//! Identity: who stands behind a request, as far as can be told: the user that its token names, its
//! session, or its connection. Pure; shows no cookie.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::http::RequestHead;
use crate::relay::conn_key::ConnKey;
use crate::secret::SigningKey;

/// Before the name of a user.
pub(in crate::relay) const USER: &str = "u:";

/// Before what stands for a session.
pub(in crate::relay) const SESSION: &str = "s:";

/// Bytes of the hash that stands for a session: nobody finds another session with the same.
const SESSION_HASH_BYTES: usize = 12;

/// Characters of the text of a session.
pub(super) const SESSION_TEXT_BYTES: usize = SESSION.len() + SESSION_HASH_BYTES * 4 / 3;

/// See the module: `u:42`, `s:` and a hash, or `c:` and a number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::relay) struct Identity(Rc<str>);

impl Identity {
    /// Of a user that a token names.
    pub(in crate::relay) fn user(name: &str) -> Self {
        Self(format!("{USER}{name}").into())
    }

    /// Of the session whose cookie has this name: the value that Django reads, so the last one
    /// given. `key`: without it nobody learns the value from its hash, nor the hash from the value.
    pub(in crate::relay) fn session(
        head: &RequestHead<'_>,
        cookie: &str,
        key: &SigningKey,
    ) -> Option<Self> {
        let fields = head.headers.iter().filter(|one| one.name.eq_ignore_ascii_case("Cookie"));
        let pairs = fields.flat_map(|field| field.value.split(|byte| *byte == b';'));
        let mut values = pairs.filter_map(|pair| {
            let equals = memchr::memchr(b'=', pair)?;
            let (name, value) = (&pair[..equals], &pair[equals + 1..]);
            (name.trim_ascii() == cookie.as_bytes()).then_some(value.trim_ascii())
        });
        let value = values.next_back().filter(|value| !value.is_empty())?;
        let hash = URL_SAFE_NO_PAD.encode(&key.hash(value)[..SESSION_HASH_BYTES]);
        Some(Self(format!("{SESSION}{hash}").into()))
    }

    /// Of a connection: no later one of this run has the same.
    pub(in crate::relay) fn connection(conn: ConnKey) -> Self {
        Self(format!("c:{}", conn.to_bits() >> 32).into())
    }

    /// As an earlier one of these was shown.
    pub(in crate::relay) fn of_text(text: &str) -> Self {
        Self(text.into())
    }

    pub(in crate::relay) fn text(&self) -> &str {
        &self.0
    }

    /// The user's name, if it is one.
    pub(in crate::relay) fn user_name(&self) -> Option<&str> {
        self.0.strip_prefix(USER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeadLimits, HeaderSlots, parse_request};

    fn session(lines: &str) -> Option<String> {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let limits = HeadLimits { header_bytes: 4096, headers: 30, uri_bytes: 1024 };
        let mut slots = HeaderSlots::new();
        let head = parse_request(head.as_bytes(), &mut slots, &limits).unwrap();
        let identity = Identity::session(&head, "sessionid", &SigningKey::of_run(1));
        identity.map(|identity| identity.text().to_owned())
    }

    #[test]
    fn a_session_is_the_hash_of_the_value_of_its_cookie_wherever_that_stands() {
        let expected = session("Cookie: sessionid=abc\r\n").unwrap();
        assert_eq!((expected.len(), &expected[..2]), (SESSION_TEXT_BYTES, SESSION));
        assert!(!expected.contains("abc"));
        for same in [
            "cookie: a=1; sessionid=abc\r\n",
            "Cookie: a=1;sessionid=abc ;b=2\r\n",
            "Cookie: a=1\r\nCookie: sessionid=abc; c\r\n",
            "Cookie: sessionid=x; sessionid=abc\r\n",
        ] {
            assert_eq!(session(same).as_ref(), Some(&expected), "{same}");
        }
        for other in ["Cookie: sessionid=abd\r\n", "Cookie: sessionid=a=bc\r\n"] {
            assert!(session(other).is_some_and(|one| one != expected), "{other}");
        }
    }

    #[test]
    fn without_its_cookie_a_request_has_no_session() {
        for none in [
            "",
            "Cookie: sessionid=\r\n",
            "Cookie: xsessionid=a; SESSIONID=a\r\n",
            "Cookie: ;=\r\n",
        ] {
            assert_eq!(session(none), None, "{none}");
        }
    }
}
