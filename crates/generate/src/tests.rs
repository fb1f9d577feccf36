//! The crate as a whole: peers' models, and files that are none.

mod property;
mod suite;
