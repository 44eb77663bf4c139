//! Objects by their type and id alone.
//!
//! Owns: whether an object of a type exists, and setting custom fields on it whatever it is. Does not own: the
//! objects, or the fields (see `custom_field`).

pub mod delete_values;
mod existence;
pub mod set_values;
