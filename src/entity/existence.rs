use sqlx::PgConnection;
use uuid::Uuid;

use crate::catalog::{billable_metric, product, rate_card};
use crate::contract::{balance, scheduled_charge};
use crate::custom_field::ManagedEntity;
use crate::error::ApiError;
use crate::id::{BillableMetricId, ContractId, CustomerId, EnvironmentId, InvoiceId, RateCardId};
use crate::time::Instant;
use crate::{contract, customer, invoice, package};

/// 404 unless the type has an object with this id, archived ones included: a value may have to be freed on one.
pub async fn require(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    entity: ManagedEntity,
    id: Uuid,
    now: Instant,
) -> Result<(), ApiError> {
    let exists = match entity {
        ManagedEntity::Customer => customer::find(db, environment_id, CustomerId(id)).await?.is_some(),
        ManagedEntity::BillableMetric => {
            billable_metric::find(db, environment_id, BillableMetricId(id)).await?.is_some()
        }
        ManagedEntity::ContractProduct => !product::find_many(db, environment_id, &[id]).await?.is_empty(),
        ManagedEntity::RateCard => rate_card::find(db, environment_id, RateCardId(id)).await?.is_some(),
        ManagedEntity::Contract => contract::exists(db, environment_id, ContractId(id)).await?,
        ManagedEntity::ScheduledCharge => scheduled_charge::exists(db, environment_id, id).await?,
        ManagedEntity::Commit => balance::exists(db, environment_id, id, false).await?,
        ManagedEntity::ContractCredit => balance::exists(db, environment_id, id, true).await?,
        ManagedEntity::PackageScheduledCharge => package::charge_exists(db, environment_id, id).await?,
        ManagedEntity::PackageCommit => package::balance_exists(db, environment_id, id, false).await?,
        ManagedEntity::PackageCredit => package::balance_exists(db, environment_id, id, true).await?,
        ManagedEntity::Invoice => invoice::exists(db, environment_id, InvoiceId(id), now).await?,
        // No object of these types can be made yet.
        ManagedEntity::Alert
        | ManagedEntity::Charge
        | ManagedEntity::Discount
        | ManagedEntity::ProfessionalService
        | ManagedEntity::Product
        | ManagedEntity::Subscription
        | ManagedEntity::PackageSubscription
        | ManagedEntity::CreditGrant
        | ManagedEntity::CustomerPlan
        | ManagedEntity::Plan => false,
    };
    if exists { Ok(()) } else { Err(ApiError::not_found(entity.as_str(), id)) }
}

/// 400 for the terms of packages, whose fields are given with the package and never change (documentation page on
/// packages; what a contract copied of them does change).
pub fn require_changeable(entity: ManagedEntity) -> Result<(), ApiError> {
    let is_of_a_package = matches!(
        entity,
        ManagedEntity::PackageCommit
            | ManagedEntity::PackageCredit
            | ManagedEntity::PackageSubscription
            | ManagedEntity::PackageScheduledCharge
    );
    if is_of_a_package {
        let reason = "the custom fields of a package's terms are fixed; change those of a contract's";
        return Err(ApiError::field("entity", reason));
    }
    Ok(())
}

/// Says on an object that tells of its last change that it was changed; of the types that carry fields, a customer.
pub async fn touch(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    entity: ManagedEntity,
    id: Uuid,
    now: Instant,
) -> Result<(), sqlx::Error> {
    match entity {
        ManagedEntity::Customer => customer::touch(db, environment_id, CustomerId(id), now).await,
        _ => Ok(()),
    }
}
