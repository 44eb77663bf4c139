//! The shapes that every endpoint shares, each in one place.
//!
//! Owns: JSON bodies in and out, query strings, path ids, pages and cursors, request values with a rule of
//! their own (timestamps, hour boundaries, bounded text), and the refusal of documented fields that are not
//! supported yet. Does not own: any domain's fields, or who is calling (see `access`).

mod any_json;
mod body;
mod body_room;
mod cursor;
mod later;
mod nullable;
mod page;
mod path;
mod query;
mod response;
mod text;
mod timestamp;
mod well_formed;

pub use any_json::AnyJson;
pub use body::{BODY_LIMIT_BYTES, Json, JsonBoth, RawBody, read_body};
pub use body_room::{BodyRoom, BodyShare};
pub use cursor::CursorKey;
pub use later::Later;
pub use nullable::{Nullable, or_default};
pub use page::{BalancePageLimit, ContractPageLimit, Page, PageLimit, PageRequest, PageRow};
pub use path::Path;
pub use query::Query;
pub use response::{Data, Empty, IdBody, id_data};
pub use text::{AliasText, ExactNumber, NonBlank, UniquenessKey};
pub use timestamp::{HourBoundary, Timestamp, offset_format, optional_offset_format};
pub use well_formed::{WellFormed, may_hold_nul};
