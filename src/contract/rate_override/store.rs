use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use sqlx::types::Json;

use super::overwrite::StoredRate;
use super::terms::{Override, OverrideKind, OverrideTier, OverrideType, RateTarget, Specifier, Targeting};
use crate::contract::Contract;
use crate::id::{CustomerId, EnvironmentId, OverrideId, ProductId};
use crate::money::Number;
use crate::time::Instant;

/// A row of the table as JSON, in which overrides come and go many at a time.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    id: OverrideId,
    #[serde(default)]
    added: i64,
    starting_at: Instant,
    ending_before: Option<Instant>,
    product_id: Option<ProductId>,
    applicable_product_tags: Vec<String>,
    override_specifiers: Vec<Specifier>,
    override_type: Option<OverrideType>,
    overwrite_rate: Option<StoredRate>,
    multiplier: Option<Number>,
    override_tiers: Option<Vec<OverrideTier>>,
    entitled: Option<bool>,
    priority: Option<Number>,
    is_commit_specific: bool,
    target: RateTarget,
    is_initial: bool,
    created_at: Instant,
}

impl From<Row> for Override {
    fn from(row: Row) -> Self {
        let kind = match (row.overwrite_rate, row.multiplier, row.override_tiers) {
            (Some(rate), ..) => Some(OverrideKind::Overwrite(rate.into())),
            (_, Some(multiplier), _) => Some(OverrideKind::Multiplier(multiplier.0)),
            (.., Some(tiers)) => Some(OverrideKind::Tiered(tiers)),
            (None, None, None) => None,
        };
        Self {
            id: row.id,
            added: row.added,
            is_initial: row.is_initial,
            created_at: row.created_at,
            starting_at: row.starting_at,
            ending_before: row.ending_before,
            targeting: Targeting {
                product_id: row.product_id,
                applicable_product_tags: row.applicable_product_tags,
                specifiers: row.override_specifiers,
            },
            kind,
            entitled: row.entitled,
            priority: row.priority.map(|priority| priority.0),
            is_commit_specific: row.is_commit_specific,
            target: row.target,
        }
    }
}

impl From<&Override> for Row {
    fn from(one: &Override) -> Self {
        let Targeting { product_id, applicable_product_tags, specifiers } = one.targeting.clone();
        let (mut overwrite_rate, mut multiplier, mut override_tiers) = (None, None, None);
        match &one.kind {
            Some(OverrideKind::Overwrite(rate)) => overwrite_rate = Some(rate.into()),
            Some(OverrideKind::Multiplier(by)) => multiplier = Some(Number(by.clone())),
            Some(OverrideKind::Tiered(tiers)) => override_tiers = Some(tiers.clone()),
            None => {}
        }
        Self {
            id: one.id,
            added: one.added,
            starting_at: one.starting_at,
            ending_before: one.ending_before,
            product_id,
            applicable_product_tags,
            override_specifiers: specifiers,
            override_type: one.kind.as_ref().map(OverrideKind::override_type),
            overwrite_rate,
            multiplier,
            override_tiers,
            entitled: one.entitled,
            priority: one.priority.clone().map(Number),
            is_commit_specific: one.is_commit_specific,
            target: one.target,
            is_initial: one.is_initial,
            created_at: one.created_at,
        }
    }
}

/// Appends overrides to a contract's in the order given; the numbers that they have are given here.
pub async fn insert(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    mut overrides: Vec<Override>,
    created_by: &str,
) -> Result<Vec<Override>, sqlx::Error> {
    if overrides.is_empty() {
        return Ok(overrides);
    }
    let CustomerId(customer_id) = contract.customer_id;
    let rows: Vec<Row> = overrides.iter().map(Into::into).collect();
    // `added` is counted above the sort, so the override that stands last in the request was added last.
    let numbered = sqlx::query!(
        r#"INSERT INTO contract_override
               (environment_id, customer_id, contract_id, id, starting_at, ending_before, product_id,
                applicable_product_tags, override_specifiers, override_type, overwrite_rate, multiplier, override_tiers,
                entitled, priority, is_commit_specific, target, is_initial, created_at, created_by)
           SELECT $1, $2, $3, id, starting_at, ending_before, product_id, applicable_product_tags, override_specifiers,
                  override_type, overwrite_rate, multiplier, override_tiers, entitled, priority, is_commit_specific,
                  target, is_initial, created_at, $5
           FROM jsonb_array_elements($4::jsonb) WITH ORDINALITY AS item (value, ordinal),
                jsonb_to_record(value) AS given
                    (id uuid, starting_at timestamptz, ending_before timestamptz, product_id uuid,
                     applicable_product_tags text[], override_specifiers jsonb, override_type text,
                     overwrite_rate jsonb, multiplier numeric, override_tiers jsonb, entitled boolean,
                     priority numeric, is_commit_specific boolean, target text, is_initial boolean,
                     created_at timestamptz)
           ORDER BY ordinal
           RETURNING id AS "id: OverrideId", added"#,
        environment_id.0,
        customer_id,
        contract.id.0,
        Json(rows) as _,
        created_by,
    )
    .fetch_all(db)
    .await?;
    for one in &mut overrides {
        let row = numbered.iter().find(|row| row.id == one.id).expect("every override was inserted");
        one.added = row.added;
    }
    Ok(overrides)
}
