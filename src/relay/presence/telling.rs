//! Telling: what an addressee is to be told, as the body of a form. Decides nothing.

use percent_encoding::{PercentEncode, percent_encode};

use super::addressees::Addressee;
use super::guest::Passed;
use super::member::Member;
use crate::relay::notice::{FORM, Telling};

/// A member has come, or left; `id`: of its channel, on which there are `present` now.
pub(super) fn of_member(
    addressee: &Addressee,
    (member, passed): (&Member, &Passed),
    (id, present): (&[u8], usize),
    instance: &str,
) -> Telling {
    let edge = if member.is_gone { "leave" } else { "join" };
    let mut body = format!(
        "channel_id={}&{edge}=1&member={}",
        encoded(id),
        encoded(member.identity.text().as_bytes())
    );
    if let Some(user) = member.identity.user_name() {
        body.push_str(&format!("&user={}", encoded(user.as_bytes())));
    }
    body.push_str(&format!("&members={present}"));
    if member.is_gone {
        body.push_str(&format!("&reason={}", member.reason.word()));
    }
    body.push_str(&format!("&instance={instance}"));
    Telling { url: addressee.url.clone(), body, headers: passed.headers.clone(), peer: passed.peer }
}

/// This run of the daemon has begun: of those that an earlier one told of nothing is known.
pub(super) fn of_reset(addressee: &Addressee, instance: &str) -> Telling {
    Telling {
        url: addressee.url.clone(),
        body: format!("reset=1&instance={instance}"),
        headers: addressee.lines.clone(),
        peer: None,
    }
}

fn encoded(bytes: &[u8]) -> PercentEncode<'_> {
    percent_encode(bytes, FORM)
}
