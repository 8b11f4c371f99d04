//! Next: what becomes of bytes that wait on a connection. Values only.

use crate::http::RequestHead;
use crate::relay::exchange_key::ExchangeKey;

/// See the module.
pub(in crate::relay) enum Next<'b> {
    /// None of them can be dealt with before something else happens.
    Wait,
    /// So many of them are dealt with.
    Used(usize),
    /// They begin with a head of this length, of a request that is the upstream's.
    Forward(RequestHead<'b>, usize),
    /// They belong to the exchange with the upstream.
    PassUp(ExchangeKey),
    /// Nobody reads what still comes.
    Gone,
}
