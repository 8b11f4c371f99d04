//! Uploads: how many bytes all bodies take that are not whole yet. Keeps none of them.

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    bytes: usize,
}

/// One body's part of the sum, bytes. To be set to 0 before it is dropped.
#[derive(Debug, Default)]
pub(super) struct Share(usize);

impl Uploads {
    /// Makes a part `bytes`; gives the sum.
    pub(super) fn set(&mut self, share: &mut Share, bytes: usize) -> usize {
        self.bytes = self.bytes - share.0 + bytes;
        share.0 = bytes;
        self.bytes
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
