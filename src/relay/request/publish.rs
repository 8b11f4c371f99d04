//! Publish: reads from a form what the inspector's page publishes, and where. Publishes nothing.

use std::rc::Rc;

use super::form::{fields, values};
use crate::http::RequestHead;
use crate::relay::location::{Location, Routes};
use crate::relay::options::Limits;

/// The fields that the form may have.
const FIELDS: [&str; 4] = ["channel", "type", "body", "location"];

/// A message on its way in.
#[derive(Debug)]
pub(in crate::relay) struct PublishForm {
    /// The location of publishers by whose settings it is published.
    pub(in crate::relay) location: Rc<Location>,
    /// The channel's id.
    pub(in crate::relay) id: Vec<u8>,
    /// Its content type; `None`: it has none.
    pub(in crate::relay) content_type: Option<Vec<u8>>,
    pub(in crate::relay) body: Vec<u8>,
}

/// How long such a form may be, bytes: a message with every byte encoded, and the rest.
pub(in crate::relay) fn form_bytes_max(limits: &Limits) -> usize {
    const OTHERS: usize = 8 << 10;
    OTHERS + 3 * limits.channel_id_bytes + limits.body_bytes.saturating_mul(3)
}

impl PublishForm {
    /// Reads the form of a request.
    ///
    /// # Errors
    /// What is wrong with it, and what to send instead.
    pub(in crate::relay) fn of(
        head: &RequestHead<'_>,
        body: &[u8],
        routes: &Routes,
        limits: &Limits,
    ) -> Result<Self, String> {
        let [id, content_type, body, place] = values(fields(head, body)?, &FIELDS, "form", |_| {
            "the form may have channel, type, body and location alone".to_owned()
        })?;
        let id = id.filter(|id| !id.is_empty()).ok_or("the form has no channel; give its id")?;
        if id.len() > limits.channel_id_bytes {
            return Err("channel is longer than limits.channel_id_bytes".to_owned());
        }
        if id.iter().any(u8::is_ascii_control) {
            return Err("a channel id may not have control characters".to_owned());
        }
        let content_type = content_type.filter(|text| !text.is_empty());
        if content_type.iter().flatten().any(u8::is_ascii_control) {
            return Err("type has control characters".to_owned());
        }
        let body = body.unwrap_or_default();
        if body.len() > limits.body_bytes {
            return Err("body is longer than limits.body_bytes".to_owned());
        }
        let location = location(place.filter(|place| !place.is_empty()), routes)?;
        Ok(Self { location, id, content_type, body })
    }
}

/// The location at a place in the settings, or the first that takes messages.
fn location(place: Option<Vec<u8>>, routes: &Routes) -> Result<Rc<Location>, String> {
    let mut publishing = routes.locations().filter(|location| location.role.publisher().is_some());
    let Some(place) = place else {
        let first = publishing.next();
        return first.map(Rc::clone).ok_or_else(|| "no location takes messages".to_owned());
    };
    let place: Option<u16> = std::str::from_utf8(&place).ok().and_then(|text| text.parse().ok());
    let found = publishing.find(|location| Some(location.place) == place);
    found.map(Rc::clone).ok_or_else(|| {
        "location is the place in locations of one that takes messages, counted from 0".to_owned()
    })
}
