use schemars::JsonSchema;
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::alias::Alias;
use super::store::{self, Conversion, RateCardRow};
use crate::custom_field::{self, Carries, CustomFields, ManagedEntity};
use crate::id::{EnvironmentId, RateCardId};
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

fn fiat(id: crate::id::CreditTypeId) -> CreditType {
    CreditType::find_fiat(id).expect("cards are created with a fiat unit").clone()
}

impl From<Conversion> for CreditTypeConversion {
    fn from(conversion: Conversion) -> Self {
        Self {
            custom_credit_type: fiat(conversion.custom_credit_type_id),
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
    let mut conversions = store::conversions_by_card(db, environment_id, &ids).await?;
    let mut aliases = store::aliases_by_card(db, environment_id, &ids).await?;
    let view = |card: RateCardRow| RateCard {
        fiat_credit_type: fiat(card.fiat_credit_type_id),
        credit_type_conversions: conversions
            .remove(&card.id)
            .unwrap_or_default()
            .into_iter()
            .map(Into::into)
            .collect(),
        aliases: aliases.remove(&card.id).unwrap_or_default(),
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
