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
        let before = std::mem::replace(&mut share.0, bytes);
        self.change(before, bytes)
    }

    /// Makes a part that its owner knows `bytes`; gives the sum.
    pub(super) fn change(&mut self, before: usize, bytes: usize) -> usize {
        self.bytes = self.bytes - before + bytes;
        self.bytes
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
