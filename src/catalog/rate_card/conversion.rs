//! What custom pricing units cost in a card's currency, and so in which units the card's rates may be.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::store::{self, Conversion, RateCardRow};
use crate::catalog::credit_type::{self, CustomUnit};
use crate::error::ApiError;
use crate::id::{CreditTypeId, EnvironmentId, RateCardId};
use crate::money::{CreditType, Decimal, InputNumber, is_positive};

/// The price of one custom unit (schema `CreditTypeConversionInput`).
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "CreditTypeConversionInput")]
pub struct ConversionInput {
    custom_credit_type_id: CreditTypeId,
    /// The price of one custom unit in the card's currency; greater than 0.
    fiat_per_custom_credit: InputNumber,
}

/// The custom units that these conversions name, kept from being archived until the transaction ends.
pub async fn share_units(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    inputs: &[ConversionInput],
) -> Result<Vec<CustomUnit>, sqlx::Error> {
    let ids: Vec<Uuid> = inputs.iter().map(|input| input.custom_credit_type_id.0).collect();
    if ids.is_empty() { Ok(Vec::new()) } else { credit_type::share_many(db, environment_id, &ids).await }
}

/// The conversions in `field` of a request, to be added to those that the card has; 400 for a unit that is
/// converted already, archived or none of `units`. The published example names the card's own currency as the custom
/// unit; that is kept and never used.
pub fn validate(
    field: &str,
    card_unit: CreditTypeId,
    existing: &[Conversion],
    units: &[CustomUnit],
    inputs: Vec<ConversionInput>,
) -> Result<Vec<Conversion>, ApiError> {
    let mut conversions: Vec<Conversion> = Vec::new();
    for (index, input) in inputs.into_iter().enumerate() {
        let path = |name: &str| format!("{field}[{index}].{name}");
        if !is_positive(&input.fiat_per_custom_credit.0) {
            return Err(ApiError::field(&path("fiat_per_custom_credit"), "must be greater than 0"));
        }
        let unit = input.custom_credit_type_id;
        let refused = |reason: &str| ApiError::field(&path("custom_credit_type_id"), reason);
        if unit != card_unit {
            if CreditType::find_fiat(unit).is_some() {
                return Err(refused("is a currency; only custom pricing units are converted"));
            }
            match units.iter().find(|known| known.id == unit) {
                None => return Err(refused("is not the id of a pricing unit")),
                Some(known) if known.archived_at.is_some() => {
                    return Err(refused("the pricing unit is archived"));
                }
                Some(_) => {}
            }
        }
        if existing.iter().any(|other| other.custom_credit_type_id == unit) {
            return Err(refused("is converted by the card already, and a conversion never changes"));
        }
        if conversions.iter().any(|other| other.custom_credit_type_id == unit) {
            return Err(refused("is converted twice"));
        }
        conversions.push(Conversion {
            custom_credit_type_id: unit,
            fiat_per_custom_credit: input.fiat_per_custom_credit.0,
        });
    }
    Ok(conversions)
}

/// A custom unit that a card converts.
#[derive(Clone, Debug)]
pub struct ConvertedUnit {
    pub unit: CustomUnit,
    /// The price of one unit in the card's currency, as that is counted: cents for USD.
    pub fiat_per_unit: Decimal,
}

/// The units that the rates of a card may be in.
#[derive(Clone, Debug)]
pub struct CardUnits {
    /// The card's currency.
    pub fiat: CreditType,
    /// By id; archived ones too, which rates that are there may be in.
    pub converted: BTreeMap<CreditTypeId, ConvertedUnit>,
}

impl CardUnits {
    /// The unit of a rate that is there already: the currency, or a custom unit that the card converts.
    #[must_use]
    pub fn find(&self, id: CreditTypeId) -> Option<CreditType> {
        if id == self.fiat.id {
            return Some(self.fiat.clone());
        }
        self.converted.get(&id).map(|converted| converted.unit.credit_type())
    }

    /// The unit for a new rate, or what is wrong with it: one currency is never converted to another, and archived
    /// units are taken for nothing new (documentation page on currencies; the latter is our decision).
    pub fn for_new_rate(&self, id: CreditTypeId) -> Result<CreditType, String> {
        if let Some(converted) = self.converted.get(&id)
            && converted.unit.archived_at.is_some()
        {
            return Err(format!("the pricing unit {} is archived", converted.unit.name));
        }
        self.find(id).ok_or_else(|| {
            let fiat = &self.fiat;
            format!(
                "must be {} ({}), the currency of the rate card, or a custom pricing unit that the card converts",
                fiat.id, fiat.name
            )
        })
    }
}

/// The units of a card.
pub async fn units(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    card_id: RateCardId,
    fiat: CreditType,
) -> Result<CardUnits, sqlx::Error> {
    let conversions = of_card(db, environment_id, card_id).await?;
    if conversions.is_empty() {
        return Ok(CardUnits { fiat, converted: BTreeMap::new() });
    }
    let units = credit_type::find_many(db, environment_id, &unit_ids(&conversions)).await?;
    Ok(CardUnits { fiat, converted: converted(conversions, units) })
}

/// [`units`], for new rates: none of them is archived until the transaction ends.
pub async fn units_for_new_rates(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    card: &RateCardRow,
) -> Result<CardUnits, sqlx::Error> {
    let conversions = of_card(db, environment_id, card.id).await?;
    let units = credit_type::share_many(db, environment_id, &unit_ids(&conversions)).await?;
    Ok(CardUnits { fiat: card.unit(), converted: converted(conversions, units) })
}

async fn of_card(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    card_id: RateCardId,
) -> Result<Vec<Conversion>, sqlx::Error> {
    let mut conversions = store::conversions_by_card(db, environment_id, &[card_id.0]).await?;
    Ok(conversions.remove(&card_id).unwrap_or_default())
}

fn unit_ids(conversions: &[Conversion]) -> Vec<Uuid> {
    conversions.iter().map(|conversion| conversion.custom_credit_type_id.0).collect()
}

/// The conversions of custom units; one of the card's own currency is none.
fn converted(conversions: Vec<Conversion>, units: Vec<CustomUnit>) -> BTreeMap<CreditTypeId, ConvertedUnit> {
    let mut units: BTreeMap<CreditTypeId, CustomUnit> =
        units.into_iter().map(|unit| (unit.id, unit)).collect();
    let converted = conversions.into_iter().filter_map(|conversion| {
        let unit = units.remove(&conversion.custom_credit_type_id)?;
        Some((unit.id, ConvertedUnit { unit, fiat_per_unit: conversion.fiat_per_custom_credit }))
    });
    converted.collect()
}
