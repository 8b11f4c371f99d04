//! Parts: what a build may do without, by a feature each. Never says which settings need one;
//! `config` refuses those.
//!
//! A part that is not built in stands in a type without values. So the compiler checks the code of
//! all parts in every build, and leaves out what would need a value that there never is.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// Where a part stands, if this build has it.
pub trait Part<T>: DerefMut<Target = T> + Sized {
    /// The part in its place; `None`, and nothing is made, where it is not built in.
    fn of(make: impl FnOnce() -> T) -> Option<Self>;
}

impl<T> Part<T> for Box<T> {
    fn of(make: impl FnOnce() -> T) -> Option<Self> {
        Some(Self::new(make()))
    }
}

/// In the place of a part that is not built in. There is none of it.
#[derive(Debug)]
pub struct Absent<T>(Infallible, PhantomData<T>);

impl<T> Part<T> for Absent<T> {
    fn of(_: impl FnOnce() -> T) -> Option<Self> {
        None
    }
}

impl<T> Deref for Absent<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self.0 {}
    }
}

impl<T> DerefMut for Absent<T> {
    fn deref_mut(&mut self) -> &mut T {
        match self.0 {}
    }
}

/// Declares parts. Unit tests have all of them, so that they are the same in every build.
macro_rules! parts {
    ($($(#[$doc:meta])* $place:ident, $is_built_in:ident: $feature:literal;)*) => {$(
        $(#[$doc])*
        #[cfg(any(test, feature = $feature))]
        pub type $place<T> = Box<T>;
        $(#[$doc])*
        #[cfg(not(any(test, feature = $feature)))]
        pub type $place<T> = Absent<T>;
        /// Whether this build has it.
        pub const $is_built_in: bool = cfg!(any(test, feature = $feature));
    )*};
}

parts! {
    /// The inspector, with the records that it shows.
    OfInspector, INSPECTOR: "inspector";
    /// The senders of notices (`passthrough`).
    OfPassthrough, PASSTHROUGH: "passthrough";
    /// The reverse proxy (`allrequests`).
    OfProxy, PROXY: "proxy";
    /// Stores in Redis.
    OfRedis, REDIS: "redis";
}
