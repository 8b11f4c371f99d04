//! Keeps the house as it was built, by reading its sources. Each module has the rules of one kind.

mod circles;
mod documents;
mod impls;
mod inner;
mod links;
mod manifest;
mod paths;
mod rows;
mod sizes;
mod sources;
mod words;
