//! Keeps the house as it was built, by reading its sources. Each module has the rules of one kind;
//! a rule's list of exceptions may only shrink, since an exception that is not needed fails too.

mod circles;
mod documents;
mod impls;
mod manifest;
mod paths;
mod rows;
mod sizes;
mod sources;
mod words;
