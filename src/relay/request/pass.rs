//! Pass: finds the tokens of a request and says whether they open the channels that it names. Never
//! asks whether a channel exists, so that who is refused learns nothing of it.

use std::borrow::Cow;

use super::bearer::bearer;
use super::channel_ids::{decoded, value_of};
use super::identity::Identity;
use super::refusal::{Fault, Refusal, Unfit};
use super::token::Token;
use crate::http::RequestHead;
use crate::relay::location::{Location, Realm};
use crate::relay::names::Names;
use crate::relay::site::Site;

/// The query parameter that gives a token.
const PARAMETER: &[u8] = b"token";

const TWICE: &str = "token stands in the query more than once; give one";

const TOO_MANY: &str = "more tokens in one request than limits.channels_per_request; give one for \
                        each channel at most";

/// How far an application's clock may be ahead of ours, seconds. A token that was signed later is
/// good for longer than its claims say.
const AHEAD_S: u64 = 60;

/// What a token is asked to allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Subscribe,
    Publish,
    /// Either, at a location that does both.
    Both,
}

impl Action {
    /// Whether a token that publishes or does not allows it.
    fn is_allowed(self, publishes: bool) -> bool {
        match self {
            Self::Subscribe => !publishes,
            Self::Publish => publishes,
            Self::Both => true,
        }
    }
}

/// What the tokens of a request prove together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::relay) struct Pass {
    /// When the first of them ends, unix seconds.
    pub(in crate::relay) ends_s: u64,
    /// Whose they are.
    pub(in crate::relay) user: Option<Box<str>>,
    /// Each of them is one to publish.
    pub(super) publishes: bool,
    /// It came as `Authorization`, which is nobody else's then.
    pub(in crate::relay) is_borne: bool,
}

/// The pass of a request for these channels, at `unix_s`.
///
/// # Errors
/// [`Refusal`], which is the answer.
pub(super) fn of_request(
    site: &Site,
    (location, realm): (&Location, &Realm),
    head: &RequestHead<'_>,
    names: &Names,
    action: Action,
    unix_s: u64,
) -> Result<Pass, Refusal> {
    let (tokens, is_borne) = tokens(head);
    let is_several = location.ids.may_be_several();
    match tokens.len() {
        0 => return Err(Fault::None.refusal()),
        2.. if !is_several => return Err(Refusal::new(400, TWICE)),
        // Each costs time.
        more if more > site.limits.channels_per_request => return Err(Refusal::new(400, TOO_MANY)),
        _ => {}
    }
    let read = |text: &Cow<'_, [u8]>| Token::read(text, &site.signing_keys, site.limits.token_s);
    let tokens: Option<Vec<Token>> = tokens.iter().map(read).collect();
    let ends_most_s = unix_s.saturating_add(site.limits.token_s).saturating_add(AHEAD_S);
    let Some(tokens) = tokens else { return Err(unfit(Unfit::Unsigned, None)) };
    for token in &tokens {
        if (&*token.group, &*token.store) != (&*realm.group, &*realm.store) {
            let is_for = format!("channel_group {:?}, store {:?}", token.group, token.store);
            return Err(unfit(Unfit::Realm, Some(is_for)));
        }
        if !action.is_allowed(token.publishes) {
            let is_to = if token.publishes { "publish" } else { "subscribe" };
            return Err(unfit(Unfit::Action, Some(is_to.to_owned())));
        }
        if token.user != tokens[0].user || token.ends_s > ends_most_s {
            return Err(unfit(Unfit::Other, None));
        }
    }
    let mut ids = names.iter().map(|name| &name[location.namespace.len()..]);
    if !ids.all(|id| tokens.iter().any(|token| token.names(id))) {
        return Err(unfit(Unfit::Channel, tokens[0].channels.first().cloned()));
    }
    let ends_s = tokens.iter().map(|token| token.ends_s).min().unwrap_or(0);
    if unix_s >= ends_s {
        return Err(Fault::Expired(unix_s - ends_s).refusal());
    }
    if tokens.iter().any(|token| is_revoked(site, location, token, names)) {
        return Err(Fault::Revoked.refusal());
    }
    Ok(Pass {
        ends_s,
        publishes: tokens.iter().all(|token| token.publishes),
        is_borne,
        user: tokens.into_iter().next().and_then(|token| token.user),
    })
}

/// A refusal that tells the client one thing, whatever it is due to.
fn unfit(unfit: Unfit, detail: Option<String>) -> Refusal {
    let detail = detail.map(Into::into);
    Refusal { detail, ..Fault::Invalid(unfit).refusal() }
}

/// Whether one of the channels that a token is for is taken back from its user. Pages ask for
/// several channels with tokens of different times: each is judged by its own.
fn is_revoked(site: &Site, location: &Location, token: &Token, names: &Names) -> bool {
    let Some(user) = &token.user else { return false };
    let user = Identity::user(user);
    let named = |name: &&[u8]| token.names(&name[location.namespace.len()..]);
    names.iter().filter(named).any(|name| site.revocations.refuse(&user, name, token.signed_s))
}

/// The tokens in the query, decoded; where it has none, that of the `Authorization` field (RFC 6750
/// 2.1), which is for clients that are no browsers. And whether it is that.
fn tokens<'h>(head: &RequestHead<'h>) -> (Vec<Cow<'h, [u8]>>, bool) {
    let pairs = head.query.unwrap_or_default().split(|byte| *byte == b'&');
    let tokens: Vec<_> =
        pairs.filter_map(|pair| value_of(pair, PARAMETER)).map(percent_decoded).collect();
    match tokens.is_empty() {
        true => (bearer(head).into_iter().map(Cow::Borrowed).collect(), true),
        false => (tokens, false),
    }
}

fn percent_decoded(text: &[u8]) -> Cow<'_, [u8]> {
    match memchr::memchr(b'%', text) {
        None => Cow::Borrowed(text),
        Some(_) => decoded(text, false).map(|byte| byte.unwrap_or(b'%')).collect(),
    }
}
