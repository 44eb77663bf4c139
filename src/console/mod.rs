//! Pages for people, served by the binary without any outside asset.

mod reference_page;
pub mod services;

pub use reference_page::reference_page;
