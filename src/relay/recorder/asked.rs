//! Asked: what is noted of a request that asks the hub, until that has answered. Records nothing.

use std::net::IpAddr;

use super::event::{By, Transport};
use super::name::{ID_BYTES, cut_name};
use super::texts::{Texts, agent, cut};
use crate::http::RequestHead;
use crate::message::Cursor;
use crate::relay::conn_key::ConnKey;

/// A request that has asked the hub.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// `None`: there is none.
    pub(super) conn: Option<ConnKey>,
    pub(super) from: Option<IpAddr>,
    pub(super) what: What,
    /// Of its channels.
    pub(super) names: Texts,
    /// See [`Text`].
    pub(super) texts: Texts,
}

/// What it has asked.
#[derive(Debug, Default, Clone, Copy)]
pub(super) enum What {
    #[default]
    Other,
    Subscribe(Cursor, Transport),
    Publish {
        bytes: u32,
        kept: bool,
        by: By,
    },
}

/// The texts of [`Asked`], in their order.
#[derive(Clone, Copy)]
pub(super) enum Text {
    Method,
    Path,
    Host,
    Origin,
    Agent,
    Member,
    Type,
    Preview,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(in crate::relay) struct Asking<'a, 'b> {
    pub(in crate::relay) conn: ConnKey,
    pub(in crate::relay) from: Option<IpAddr>,
    /// `None`: it is a message of a WebSocket.
    pub(in crate::relay) head: Option<&'a RequestHead<'b>>,
    /// Who holds it, where members are kept.
    pub(in crate::relay) member: &'a str,
}

impl Asked {
    /// Notes a request, which has asked nothing yet.
    pub(super) fn note<'n>(
        &mut self,
        asking: &Asking<'_, '_>,
        names: impl Iterator<Item = &'n [u8]>,
    ) {
        let Self { conn, from, what, names: noted, texts } = self;
        (*conn, *from, *what) = (Some(asking.conn), asking.from, What::Other);
        noted.clear();
        names.for_each(|name| noted.push(cut_name(name)));
        texts.clear();
        if let Some(head) = asking.head {
            let header = |name| head.header(name).unwrap_or_default();
            texts.push(cut(head.method.as_bytes(), NAME_BYTES));
            texts.push(cut(head.path, PATH_BYTES));
            texts.push(cut(head.host, NAME_BYTES));
            texts.push(cut(header("Origin"), NAME_BYTES));
            texts.push_pieces(agent(header("User-Agent")));
            texts.push(cut(asking.member.as_bytes(), ID_BYTES));
        } else {
            (0..=Text::Member as usize).for_each(|_| texts.push(b""));
        }
    }

    pub(super) fn publishes(&self) -> bool {
        matches!(self.what, What::Publish { .. })
    }

    pub(super) fn text(&self, text: Text) -> &[u8] {
        self.texts.get(text as usize)
    }
}

/// How much of a text is kept, bytes.
const PATH_BYTES: usize = 160;
const NAME_BYTES: usize = 96;
