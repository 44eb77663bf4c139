//! Pricing units ("credit types"): the fixed fiat currencies.
//!
//! USD is kept in cents, every other currency in whole units (documentation page on currencies and custom
//! pricing units). The id of USD is the published one; the ids of the others are not published, so they are
//! derived from the ISO code and equal in every deployment (our decision).

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::{Uuid, uuid};

use crate::id::{CreditTypeId, deterministic};

const USD: Uuid = uuid!("2714e483-4ff1-48e4-9e25-ac732e8f24f2");

const OTHER_CODES: [&str; 19] = [
    "AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "INR", "MXN", "NGN", "NOK", "NZD", "PLN",
    "SEK", "SGD", "TRY", "ZAR",
];

static FIAT: LazyLock<Vec<CreditType>> = LazyLock::new(|| {
    let others = OTHER_CODES.iter().map(|code| CreditType {
        name: (*code).to_owned(),
        id: CreditTypeId(deterministic("fiat credit type", &[code])),
    });
    std::iter::once(CreditType::usd()).chain(others).collect()
});

/// A pricing unit as it appears inside other objects (schema `CreditType`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreditType {
    pub name: String,
    pub id: CreditTypeId,
}

impl CreditType {
    /// US dollars, counted in cents: the default wherever a unit may be omitted.
    #[must_use]
    pub fn usd() -> Self {
        Self { name: "USD (cents)".to_owned(), id: CreditTypeId(USD) }
    }

    /// Every fiat unit, USD first, then by code.
    #[must_use]
    pub fn fiat() -> &'static [CreditType] {
        &FIAT
    }

    /// The fiat unit with this id.
    #[must_use]
    pub fn find_fiat(id: CreditTypeId) -> Option<&'static CreditType> {
        FIAT.iter().find(|unit| unit.id == id)
    }
}
