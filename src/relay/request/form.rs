//! Form: the fields of a body or a query as HTML forms send them (URL standard 5.1). Knows no
//! field.

use std::slice::EscapeAscii;

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

/// The values of the fields with these names, each of which may be given once. `kind`: form or
/// query, to speak of it. `unknown`: what is wrong with a field of another name, of which it is
/// given as much as an answer shows.
///
/// # Errors
/// What is wrong with them.
pub(super) fn values<const N: usize>(
    given: Vec<Field>,
    names: &[&str; N],
    kind: &str,
    unknown: impl Fn(&EscapeAscii<'_>) -> String,
) -> Result<[Option<Vec<u8>>; N], String> {
    let mut values = [const { None }; N];
    for (name, value) in given {
        let place = names.iter().position(|known| known.as_bytes() == name);
        let Some(place) = place else {
            return Err(unknown(&name[..name.len().min(NAME_BYTES_SHOWN)].escape_ascii()));
        };
        if values[place].replace(value).is_some() {
            return Err(format!("the {kind} gives {} twice", names[place]));
        }
    }
    Ok(values)
}

/// Of a field's name, in an answer.
const NAME_BYTES_SHOWN: usize = 40;

fn is_form(content_type: &[u8]) -> bool {
    let end = memchr::memchr(b';', content_type).unwrap_or(content_type.len());
    let media_type = content_type[..end].trim_ascii();
    media_type.eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}
