//! Request target: splits its four forms (RFC 9112 section 3.2) into path and query. Decodes and
//! normalises nothing: a path is matched as sent.

use memchr::{memchr, memchr2};

use super::error::HttpError;

/// A request target in parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target<'b> {
    /// Begins with `/`, or is `*`.
    pub(super) path: &'b [u8],
    /// The part behind the first `?`.
    pub(super) query: Option<&'b [u8]>,
    /// Of an absolute-form target; not checked yet.
    pub(super) authority: Option<&'b [u8]>,
}

impl<'b> Target<'b> {
    /// Splits the target of a request with this method.
    ///
    /// # Errors
    /// 501 for CONNECT; 400 for a fragment or a form that `method` cannot have.
    pub(super) fn read(method: &str, target: &'b [u8]) -> Result<Self, HttpError> {
        if method == "CONNECT" {
            return Err(HttpError::new(
                501,
                "CONNECT is not served here; this is no forward proxy",
            ));
        }
        if target.starts_with(b"/") {
            return Self::split(target, None);
        }
        if target == b"*" && method == "OPTIONS" {
            return Ok(Self { path: target, query: None, authority: None });
        }
        let Some(after_scheme) = strip_scheme(target) else {
            return Err(HttpError::bad_request(
                "the request target is no path; begin it with `/` or http://host/",
            ));
        };
        let end = memchr2(b'/', b'?', after_scheme).unwrap_or(after_scheme.len());
        let (authority, path) = after_scheme.split_at(end);
        let mut target = Self::split(path, Some(authority))?;
        if target.path.is_empty() {
            // RFC 9112 3.2.4: OPTIONS of a whole server, by way of a proxy.
            let whole_server = method == "OPTIONS" && target.query.is_none();
            target.path = if whole_server { b"*" } else { b"/" };
        }
        Ok(target)
    }

    fn split(target: &'b [u8], authority: Option<&'b [u8]>) -> Result<Self, HttpError> {
        let end = memchr2(b'?', b'#', target).unwrap_or(target.len());
        let (path, rest) = target.split_at(end);
        let query = rest.strip_prefix(b"?");
        if rest.starts_with(b"#") || query.is_some_and(|query| memchr(b'#', query).is_some()) {
            return Err(HttpError::bad_request("a `#` in the target; send %23 or no fragment"));
        }
        Ok(Self { path, query, authority })
    }
}

fn strip_scheme(target: &[u8]) -> Option<&[u8]> {
    [b"http://".as_slice(), b"https://"].into_iter().find_map(|scheme| {
        let (begin, rest) = target.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}
