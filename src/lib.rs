//! Upbeat: usage billing that speaks the Metronome HTTP API.
//!
//! The modules stand in the order in which they may use one another, which is also the order in which data flows;
//! none uses one below it (`tests/tidy.rs` holds that). Inside a domain the words are always the same: `mod.rs`
//! says what it owns, `calc` is pure, `store` holds the SQL, and every endpoint has a file of its own.
//!
//! ```text
//! POST /v1/ingest ─► event     validate, deduplicate, keep            (facts)
//!                 ─► usage     hourly rollups by subject and group    (quantities)
//! GET invoices    ─► rating    cut the period, price each piece       (charges)
//!                 ─► drawdown  draw commits and credits in order      (who pays)
//!                 ─► invoice   draft now, final after the grace       (document)
//!                 ─► ledger    what was granted, drawn and is left    (balances)
//! ```

// -- vocabulary: pure, used by all --
pub mod casing; // enums in any casing
pub mod time; // the clock, periods, billing calendars
pub mod id; // typed ids, deterministic ids, digests
pub mod money; // exact decimals, pricing units, rounding by name
pub mod memo; // what was worked out of states that have names

// -- the frame: knows no domain --
pub mod config; // where the data is, from the command line and the environment
pub mod error; // the one error of the edge
pub mod telemetry; // log line and metrics of every request
pub mod wire; // shapes that every endpoint shares
pub mod postgres; // the database: connect, migrate, embedded server
pub mod access; // environments, tokens, the caller
pub mod job; // due work, in time order, exactly once
pub mod custom_field; // keys and values that a company writes on its objects

// -- who, and what was agreed --
pub mod customer; // customers and their ingest aliases
pub mod catalog; // pricing units, billable metrics, products, rate cards, rates
pub mod contract; // contracts and their statement calendars
pub mod package; // contract terms for many customers, and new contracts of them
pub mod named_schedule; // values over time under a name, for pricing logic of one's own

// -- the flow --
pub mod event; // facts arrive
pub mod usage; // facts become quantities
pub mod rating; // quantities become charges
pub mod drawdown; // commits and credits pay for charges
pub mod invoice; // charges become a document
pub mod ledger; // what is left of commits and credits

// -- around it --
pub mod entity; // any object by its type and id
pub mod worker; // takes due work and hands each kind to its domain
pub mod sandbox; // the movable clock
pub mod console; // pages for people
pub mod app; // every route
pub mod command; // what the binary can do
