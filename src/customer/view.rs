//! How a customer is shown.

use schemars::JsonSchema;
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::billable_status::{BillableStatus, StatusInForce, statuses_in_force};
use super::store::{self, CustomerRow};
use crate::custom_field::{self, Carries, CustomFields, ManagedEntity};
use crate::id::{CustomerId, EnvironmentId};
use crate::time::Instant;

/// A customer as it is answered on creation (schema `Customer`).
#[derive(Serialize, JsonSchema)]
pub struct Customer {
    pub id: CustomerId,
    /// Deprecated: the first alias, else the id.
    pub external_id: String,
    pub ingest_aliases: Vec<String>,
    pub name: String,
    pub custom_fields: CustomFields,
}

/// A customer in full (schema `CustomerDetail`).
#[derive(Serialize, JsonSchema)]
pub struct CustomerDetail {
    pub id: CustomerId,
    /// Deprecated: the first alias, else the id.
    pub external_id: String,
    pub ingest_aliases: Vec<String>,
    pub name: String,
    pub customer_config: CustomerConfig,
    pub custom_fields: CustomFields,
    pub created_at: Instant,
    pub updated_at: Instant,
    pub archived_at: Option<Instant>,
    pub current_billable_status: CurrentBillableStatus,
}

#[derive(Serialize, JsonSchema)]
pub struct CustomerConfig {
    pub salesforce_account_id: Option<String>,
}

/// Whether invoices go out, as of now.
#[derive(Serialize, JsonSchema)]
pub struct CurrentBillableStatus {
    pub value: BillableStatus,
    /// Null where nothing was ever set.
    pub effective_at: Option<Instant>,
}

impl From<Option<StatusInForce>> for CurrentBillableStatus {
    fn from(in_force: Option<StatusInForce>) -> Self {
        Self {
            value: in_force.map_or(BillableStatus::Billable, |in_force| in_force.status),
            effective_at: in_force.map(|in_force| in_force.effective_at),
        }
    }
}

impl Customer {
    pub fn new(customer: CustomerRow, ingest_aliases: Vec<String>) -> Self {
        Self {
            id: customer.id,
            external_id: external_id(customer.id, &ingest_aliases),
            ingest_aliases,
            name: customer.name,
            custom_fields: CustomFields::new(),
        }
    }
}

impl CustomerDetail {
    fn new(customer: CustomerRow, ingest_aliases: Vec<String>, in_force: Option<StatusInForce>) -> Self {
        Self {
            id: customer.id,
            external_id: external_id(customer.id, &ingest_aliases),
            ingest_aliases,
            name: customer.name,
            customer_config: CustomerConfig { salesforce_account_id: customer.salesforce_account_id },
            custom_fields: CustomFields::new(),
            created_at: customer.created_at,
            updated_at: customer.updated_at,
            archived_at: customer.archived_at,
            current_billable_status: in_force.into(),
        }
    }
}

impl Carries for Customer {
    const ENTITY: ManagedEntity = ManagedEntity::Customer;

    fn entity_id(&self) -> Uuid {
        self.id.0
    }

    fn custom_fields(&mut self) -> &mut CustomFields {
        &mut self.custom_fields
    }
}

impl Carries for CustomerDetail {
    const ENTITY: ManagedEntity = ManagedEntity::Customer;

    fn entity_id(&self) -> Uuid {
        self.id.0
    }

    fn custom_fields(&mut self) -> &mut CustomFields {
        &mut self.custom_fields
    }
}

fn external_id(id: CustomerId, aliases: &[String]) -> String {
    aliases.first().cloned().unwrap_or_else(|| id.to_string())
}

/// The customers as they stand at `now`, in the order given.
pub async fn details(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customers: Vec<CustomerRow>,
    now: Instant,
) -> Result<Vec<CustomerDetail>, sqlx::Error> {
    let ids: Vec<_> = customers.iter().map(|customer| customer.id.0).collect();
    let mut aliases = store::aliases_by_customer(db, environment_id, &ids).await?;
    let statuses = statuses_in_force(db, environment_id, &ids, now).await?;
    let detail = |customer: CustomerRow| {
        let aliases = aliases.remove(&customer.id).unwrap_or_default();
        let in_force = statuses.get(&customer.id).copied();
        CustomerDetail::new(customer, aliases, in_force)
    };
    let mut details: Vec<CustomerDetail> = customers.into_iter().map(detail).collect();
    custom_field::show(db, environment_id, &mut details).await?;
    Ok(details)
}
