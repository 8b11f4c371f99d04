//! (being written)

pub mod options;

/// Stands in for the reactor until it is there.
pub struct Reactor {
    listening: Vec<options::Listen>,
}

impl Reactor {
    /// Starts nothing.
    pub fn start(
        options: options::Options,
        _relay: crate::relay::options::Options,
        _hub: crate::hub::options::Options,
    ) -> Result<Self, std::io::Error> {
        Ok(Self { listening: options.listen })
    }

    /// Nowhere.
    pub fn listening(&self) -> &[options::Listen] {
        &self.listening
    }

    /// Returns at once.
    pub fn run(
        &mut self,
        _reload: &mut dyn FnMut() -> Result<
            (crate::relay::options::Options, Vec<crate::hub::options::StoreOptions>),
            String,
        >,
    ) -> std::io::Result<()> {
        Ok(())
    }
}
