//! Form: the fields of a body or a query as HTML forms send them (URL standard 5.1). Knows no
//! field.

use super::channel_ids::decoded;
use crate::http::RequestHead;

/// Fields of a form that are looked at; none has so many.
const FIELDS_MAX: usize = 16;

/// A name and its value, both decoded.
pub(super) type Field = (Vec<u8>, Vec<u8>);

/// The fields of a body, in their order.
///
/// # Errors
/// What is wrong with the form.
pub(super) fn fields(head: &RequestHead<'_>, body: &[u8]) -> Result<Vec<Field>, &'static str> {
    if !is_form(head.header("Content-Type").unwrap_or_default()) {
        return Err("send a form, with Content-Type: application/x-www-form-urlencoded");
    }
    pairs(body)
}

/// The fields of a body or a query, in their order.
///
/// # Errors
/// What is wrong with them.
pub(super) fn pairs(text: &[u8]) -> Result<Vec<Field>, &'static str> {
    let mut fields = Vec::new();
    for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        if fields.len() == FIELDS_MAX {
            return Err("there are too many fields");
        }
        let end = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        let text = |text| decoded(text, true).collect::<Option<Vec<u8>>>();
        let value = pair.get(end + 1..).unwrap_or_default();
        let field = text(&pair[..end]).zip(text(value));
        fields.push(field.ok_or("a % in a field must begin %XX, with two hexadecimal digits")?);
    }
    Ok(fields)
}

fn is_form(content_type: &[u8]) -> bool {
    let end = memchr::memchr(b';', content_type).unwrap_or(content_type.len());
    let media_type = content_type[..end].trim_ascii();
    media_type.eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}
