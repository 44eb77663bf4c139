use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::store::{self, Conversion, RateCardRow};
use crate::catalog::alias::{self, Alias, AliasHolderType};
use crate::catalog::credit_type;
use crate::custom_field::{self, Carries, CustomFields, ManagedEntity};
use crate::id::{CreditTypeId, EnvironmentId, RateCardId};
use crate::money::{CreditType, plain};
use crate::time::Instant;

/// A rate card; its rates are read with `getRates` (schema `RateCard`).
#[derive(Serialize, JsonSchema)]
pub struct RateCard {
    pub id: RateCardId,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub fiat_credit_type: CreditType,
    pub credit_type_conversions: Vec<CreditTypeConversion>,
    pub aliases: Vec<Alias>,
    pub custom_fields: CustomFields,
    pub created_at: Instant,
    pub created_by: String,
}

/// The price of one custom unit in the card's currency.
#[derive(Serialize, JsonSchema)]
pub struct CreditTypeConversion {
    pub custom_credit_type: CreditType,
    /// A decimal as a string, unlike the number that was sent (schema `CreditTypeConversion`).
    pub fiat_per_custom_credit: String,
}

fn fiat(id: CreditTypeId) -> CreditType {
    CreditType::find_fiat(id).expect("cards are created with a fiat unit").clone()
}

async fn custom_units(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    conversions: impl Iterator<Item = &Conversion>,
) -> Result<BTreeMap<CreditTypeId, CreditType>, sqlx::Error> {
    let ids: Vec<Uuid> = conversions.map(|conversion| conversion.custom_credit_type_id.0).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let units = credit_type::find_many(db, environment_id, &ids).await?;
    Ok(units.iter().map(|unit| (unit.id, unit.credit_type())).collect())
}

impl CreditTypeConversion {
    /// `units` are the custom units that conversions name; one of a card's own currency is of none of them.
    fn new(conversion: &Conversion, units: &BTreeMap<CreditTypeId, CreditType>) -> Self {
        let id = conversion.custom_credit_type_id;
        Self {
            custom_credit_type: units.get(&id).cloned().unwrap_or_else(|| fiat(id)),
            fiat_per_custom_credit: plain(&conversion.fiat_per_custom_credit),
        }
    }
}

impl Carries for RateCard {
    const ENTITY: ManagedEntity = ManagedEntity::RateCard;

    fn entity_id(&self) -> Uuid {
        self.id.0
    }

    fn custom_fields(&mut self) -> &mut CustomFields {
        &mut self.custom_fields
    }
}

/// The cards with everything but their rates, in the order given.
pub async fn rate_cards(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    cards: Vec<RateCardRow>,
) -> Result<Vec<RateCard>, sqlx::Error> {
    let ids: Vec<_> = cards.iter().map(|card| card.id.0).collect();
    let conversions = store::conversions_by_card(db, environment_id, &ids).await?;
    let units = custom_units(db, environment_id, conversions.values().flatten()).await?;
    let mut aliases = alias::of_many(db, environment_id, AliasHolderType::RateCard, &ids).await?;
    let view = |card: RateCardRow| RateCard {
        fiat_credit_type: fiat(card.fiat_credit_type_id),
        credit_type_conversions: conversions
            .get(&card.id)
            .into_iter()
            .flatten()
            .map(|conversion| CreditTypeConversion::new(conversion, &units))
            .collect(),
        aliases: aliases.remove(&card.id.0).unwrap_or_default(),
        custom_fields: CustomFields::new(),
        id: card.id,
        name: card.name,
        description: card.description,
        created_at: card.created_at,
        created_by: card.created_by,
    };
    let mut cards: Vec<RateCard> = cards.into_iter().map(view).collect();
    custom_field::show(db, environment_id, &mut cards).await?;
    Ok(cards)
}
