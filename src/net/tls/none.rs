//! None: what stands for TLS in a build without it. There is no value of these types, so whatever
//! would use one is not in the binary.

use std::convert::Infallible;
use std::io;

use super::fault::Fault;
use super::scratch::Scratch;
use crate::net::stream::{Read, Sent, Stream};
use crate::relay::Payload;

/// No certificate.
#[derive(Debug, Clone)]
pub struct Certificate(Infallible);

impl Certificate {
    /// Always the error that there is no TLS here.
    ///
    /// # Errors
    /// What to do.
    pub fn of_pem(_chain: &[u8], _key: &[u8]) -> Result<Self, Fault> {
        Err(Fault::Chain("this pushserver was built without the feature \"tls\""))
    }

    /// Never called.
    #[must_use]
    pub fn valid(&self) -> (u64, u64) {
        match self.0 {}
    }
}

/// Nobody is trusted.
#[derive(Debug, Clone)]
pub struct Trust(Infallible);

impl Trust {
    /// Always the error that there is no TLS here.
    ///
    /// # Errors
    /// What to do.
    pub fn of_pem(
        _authorities: Option<&[u8]>,
        _identity: Option<(&[u8], &[u8])>,
        _server_name: Option<&str>,
    ) -> Result<Self, Fault> {
        Err(Fault::Chain("this pushserver was built without the feature \"tls\""))
    }
}

/// No session.
#[derive(Debug)]
pub(in crate::net) struct Tls(Infallible);

#[allow(clippy::unused_self, reason = "there is none")]
impl Tls {
    pub(in crate::net) fn accept(_: Stream, certificate: &Certificate, _: &[u8]) -> Self {
        match certificate.0 {}
    }

    pub(in crate::net) fn dial(_: Stream, trust: &Trust, _: &str) -> io::Result<Self> {
        match trust.0 {}
    }

    pub(in crate::net) fn stream(&self) -> &Stream {
        match self.0 {}
    }

    pub(in crate::net) fn read(
        &mut self,
        _: &mut [u8],
        _: usize,
        _: &mut Scratch,
    ) -> io::Result<Read> {
        match self.0 {}
    }

    pub(in crate::net) fn write(
        &mut self,
        _: &Payload,
        _: usize,
        _: &mut Scratch,
    ) -> io::Result<Sent> {
        match self.0 {}
    }

    pub(in crate::net) fn flush(&mut self) -> io::Result<usize> {
        match self.0 {}
    }

    pub(in crate::net) fn is_handshaking(&self) -> bool {
        match self.0 {}
    }

    pub(in crate::net) fn has_ended(&self) -> bool {
        match self.0 {}
    }

    pub(in crate::net) fn is_pending(&self) -> bool {
        match self.0 {}
    }

    pub(in crate::net) fn end(&mut self) {
        match self.0 {}
    }
}
