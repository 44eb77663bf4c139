use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::rate_override;
use super::terms::{ChargesOnUsageInvoices, Contract, MultiplierPrioritization};
use crate::catalog::usage_filter::{UsageFilter, UsageFilters};
use crate::id::{ContractId, CreditTypeId, CustomerId, EnvironmentId, PackageId, RateCardId};
use crate::money::{CreditType, Decimal};
use crate::time::{Instant, StatementFrequency, StatementSchedule};

/// The columns of the table.
struct Columns {
    customer_id: CustomerId,
    id: ContractId,
    package_id: Option<PackageId>,
    name: Option<String>,
    rate_card_id: Option<RateCardId>,
    unit_id: Option<CreditTypeId>,
    starting_at: Instant,
    ending_before: Option<Instant>,
    initial_ending_before: Option<Instant>,
    statement_frequency: StatementFrequency,
    statement_anchor: Instant,
    invoice_generation_starting_at: Option<Instant>,
    net_payment_terms_days: Option<Decimal>,
    total_contract_value: Option<Decimal>,
    netsuite_sales_order_id: Option<String>,
    salesforce_opportunity_id: Option<String>,
    multiplier_override_prioritization: MultiplierPrioritization,
    charges_on_usage_invoices: Option<ChargesOnUsageInvoices>,
    usage_filters: Option<Json<Vec<UsageFilter>>>,
    overrides: Option<Json<Vec<rate_override::Row>>>,
    uniqueness_key: Option<String>,
    created_at: Instant,
    created_by: String,
    archived_at: Option<Instant>,
    finalized_until: Instant,
}

impl From<Columns> for Contract {
    fn from(row: Columns) -> Self {
        Self {
            customer_id: row.customer_id,
            id: row.id,
            package_id: row.package_id,
            name: row.name,
            rate_card_id: row.rate_card_id,
            unit: row.unit_id.and_then(CreditType::find_fiat).cloned().unwrap_or_else(CreditType::usd),
            starting_at: row.starting_at,
            ending_before: row.ending_before,
            initial_ending_before: row.initial_ending_before,
            schedule: StatementSchedule { frequency: row.statement_frequency, anchor: row.statement_anchor },
            invoice_generation_starting_at: row.invoice_generation_starting_at,
            net_payment_terms_days: row.net_payment_terms_days,
            total_contract_value: row.total_contract_value,
            netsuite_sales_order_id: row.netsuite_sales_order_id,
            salesforce_opportunity_id: row.salesforce_opportunity_id,
            multiplier_override_prioritization: row.multiplier_override_prioritization,
            scheduled_charges_on_usage_invoices: row.charges_on_usage_invoices,
            usage_filters: UsageFilters::new(row.usage_filters.map_or_else(Vec::new, |filters| filters.0)),
            overrides: row
                .overrides
                .map_or_else(Vec::new, |rows| rows.0.into_iter().map(Into::into).collect()),
            uniqueness_key: row.uniqueness_key,
            created_at: row.created_at,
            created_by: row.created_by,
            archived_at: row.archived_at,
            finalized_until: row.finalized_until,
        }
    }
}

pub async fn insert(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO contract (environment_id, customer_id, id, name, rate_card_id, starting_at, ending_before,
                               statement_frequency, statement_anchor, invoice_generation_starting_at,
                               net_payment_terms_days, total_contract_value, netsuite_sales_order_id,
                               salesforce_opportunity_id, multiplier_override_prioritization, uniqueness_key,
                               scheduled_charges_on_usage_invoices, created_at, created_by, finalized_until,
                               initial_ending_before, package_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
                 $22)",
        environment_id.0,
        contract.customer_id.0,
        contract.id.0,
        contract.name,
        contract.rate_card_id.map(|id| id.0),
        contract.starting_at,
        contract.ending_before,
        contract.schedule.frequency.as_str(),
        contract.schedule.anchor,
        contract.invoice_generation_starting_at,
        contract.net_payment_terms_days,
        contract.total_contract_value,
        contract.netsuite_sales_order_id,
        contract.salesforce_opportunity_id,
        contract.multiplier_override_prioritization.as_str(),
        contract.uniqueness_key,
        contract.scheduled_charges_on_usage_invoices.map(ChargesOnUsageInvoices::as_str),
        contract.created_at,
        contract.created_by,
        contract.finalized_until,
        contract.initial_ending_before,
        contract.package_id.map(|id| id.0),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Every contract of the customer, archived ones included, by start.
pub async fn list_of_customer(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
) -> Result<Vec<Contract>, sqlx::Error> {
    list(
        db,
        environment_id,
        customer_id,
        &ContractFilter { include_archived: true, ..ContractFilter::default() },
        None,
        None,
    )
    .await
}

/// What a list of contracts is narrowed to.
#[derive(Clone, Copy, Default)]
pub struct ContractFilter {
    pub include_archived: bool,
    /// Starting then or later.
    pub starting_at: Option<Instant>,
    /// In force then.
    pub covering_date: Option<Instant>,
}

/// A contract's place in a list: by start, then by creation.
pub type ContractPosition = (Instant, Instant, Uuid);

/// The customer's contracts, by start. Every bound is one of the index, also where it is none, so that the last page
/// costs as little as the first.
pub async fn list(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    filter: &ContractFilter,
    after: Option<ContractPosition>,
    limit: Option<usize>,
) -> Result<Vec<Contract>, sqlx::Error> {
    let (after_start, after_created, after_id) =
        after.map_or((None, None, None), |(start, created, id)| (Some(start), Some(created), Some(id)));
    let rows = sqlx::query_as!(
        Columns,
        r#"SELECT customer_id AS "customer_id: CustomerId", id AS "id: ContractId",
                  package_id AS "package_id: PackageId", name,
                  rate_card_id AS "rate_card_id: RateCardId",
                  (SELECT fiat_credit_type_id FROM rate_card WHERE rate_card.environment_id = $1
                   AND rate_card.id = contract.rate_card_id) AS "unit_id: CreditTypeId", starting_at, ending_before,
                  initial_ending_before,
                  statement_frequency AS "statement_frequency: StatementFrequency", statement_anchor,
                  invoice_generation_starting_at, net_payment_terms_days, total_contract_value,
                  netsuite_sales_order_id, salesforce_opportunity_id,
                  multiplier_override_prioritization AS "multiplier_override_prioritization: MultiplierPrioritization",
                  scheduled_charges_on_usage_invoices AS "charges_on_usage_invoices: ChargesOnUsageInvoices",
                  (SELECT jsonb_agg(to_jsonb(usage_filter) ORDER BY added) FROM usage_filter
                   WHERE usage_filter.environment_id = $1 AND usage_filter.customer_id = contract.customer_id
                     AND usage_filter.contract_id = contract.id) AS "usage_filters: Json<Vec<UsageFilter>>",
                  (SELECT jsonb_agg(to_jsonb(contract_override) ORDER BY added) FROM contract_override
                   WHERE contract_override.environment_id = $1 AND contract_override.customer_id = contract.customer_id
                     AND contract_override.contract_id = contract.id) AS "overrides: Json<Vec<rate_override::Row>>",
                  uniqueness_key, created_at, created_by, archived_at, finalized_until
           FROM contract
           WHERE environment_id = $1 AND customer_id = $2
             AND ($3 OR archived_at IS NULL)
             AND starting_at >= coalesce($4::timestamptz, '-infinity')
             AND starting_at <= coalesce($5::timestamptz, 'infinity')
             AND ($5::timestamptz IS NULL OR ending_before IS NULL OR ending_before > $5)
             AND (starting_at, created_at, id)
                 > (coalesce($6::timestamptz, '-infinity'), coalesce($7::timestamptz, '-infinity'),
                    coalesce($8::uuid, '00000000-0000-0000-0000-000000000000'))
           ORDER BY starting_at, created_at, id LIMIT $9"#,
        environment_id.0,
        customer_id.0,
        filter.include_archived,
        filter.starting_at,
        filter.covering_date,
        after_start,
        after_created,
        after_id,
        limit.map(|limit| i64::try_from(limit).expect("limits are small")),
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// A contract of a package, and no more of it than a list of the package shows.
pub struct ContractOfPackage {
    pub customer_id: CustomerId,
    pub id: ContractId,
    pub starting_at: Instant,
    pub ending_before: Option<Instant>,
    pub created_at: Instant,
    pub archived_at: Option<Instant>,
}

/// The contracts of a package, by start.
pub async fn list_of_package(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    package_id: PackageId,
    filter: &ContractFilter,
    after: Option<ContractPosition>,
    limit: usize,
) -> Result<Vec<ContractOfPackage>, sqlx::Error> {
    let (after_start, after_created, after_id) =
        after.map_or((None, None, None), |(start, created, id)| (Some(start), Some(created), Some(id)));
    sqlx::query_as!(
        ContractOfPackage,
        r#"SELECT customer_id AS "customer_id: CustomerId", id AS "id: ContractId", starting_at, ending_before,
                  created_at, archived_at
           FROM contract
           WHERE environment_id = $1 AND package_id = $2
             AND ($3 OR archived_at IS NULL)
             AND starting_at >= coalesce($4::timestamptz, '-infinity')
             AND starting_at <= coalesce($5::timestamptz, 'infinity')
             AND ($5::timestamptz IS NULL OR ending_before IS NULL OR ending_before > $5)
             AND (starting_at, created_at, id)
                 > (coalesce($6::timestamptz, '-infinity'), coalesce($7::timestamptz, '-infinity'),
                    coalesce($8::uuid, '00000000-0000-0000-0000-000000000000'))
           ORDER BY starting_at, created_at, id LIMIT $9"#,
        environment_id.0,
        package_id.0,
        filter.include_archived,
        filter.starting_at,
        filter.covering_date,
        after_start,
        after_created,
        after_id,
        i64::try_from(limit).expect("limits are small"),
    )
    .fetch_all(db)
    .await
}

/// Contracts of all customers that are not archived, by customer and id, after `after`.
pub async fn list_in_force(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    after: Option<(CustomerId, ContractId)>,
    limit: i64,
) -> Result<Vec<Contract>, sqlx::Error> {
    let (after_customer, after_id) = after.map(|(customer, id)| (customer.0, id.0)).unzip();
    let rows = sqlx::query_as!(
        Columns,
        r#"SELECT customer_id AS "customer_id: CustomerId", id AS "id: ContractId",
                  package_id AS "package_id: PackageId", name,
                  rate_card_id AS "rate_card_id: RateCardId",
                  (SELECT fiat_credit_type_id FROM rate_card WHERE rate_card.environment_id = $1
                   AND rate_card.id = contract.rate_card_id) AS "unit_id: CreditTypeId", starting_at, ending_before,
                  initial_ending_before,
                  statement_frequency AS "statement_frequency: StatementFrequency", statement_anchor,
                  invoice_generation_starting_at, net_payment_terms_days, total_contract_value,
                  netsuite_sales_order_id, salesforce_opportunity_id,
                  multiplier_override_prioritization AS "multiplier_override_prioritization: MultiplierPrioritization",
                  scheduled_charges_on_usage_invoices AS "charges_on_usage_invoices: ChargesOnUsageInvoices",
                  (SELECT jsonb_agg(to_jsonb(usage_filter) ORDER BY added) FROM usage_filter
                   WHERE usage_filter.environment_id = $1 AND usage_filter.customer_id = contract.customer_id
                     AND usage_filter.contract_id = contract.id) AS "usage_filters: Json<Vec<UsageFilter>>",
                  (SELECT jsonb_agg(to_jsonb(contract_override) ORDER BY added) FROM contract_override
                   WHERE contract_override.environment_id = $1 AND contract_override.customer_id = contract.customer_id
                     AND contract_override.contract_id = contract.id) AS "overrides: Json<Vec<rate_override::Row>>",
                  uniqueness_key, created_at, created_by, archived_at, finalized_until
           FROM contract
           WHERE environment_id = $1 AND archived_at IS NULL
             AND ($2::uuid IS NULL OR (customer_id, id) > ($2, $3))
           ORDER BY customer_id, id LIMIT $4"#,
        environment_id.0,
        after_customer as Option<Uuid>,
        after_id as Option<Uuid>,
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The contract, archived ones included.
pub async fn find(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    id: ContractId,
) -> Result<Option<Contract>, sqlx::Error> {
    Ok(find_many(db, environment_id, &[(customer_id, id)]).await?.pop())
}

/// Contracts, each after its customer, archived ones included; in no order.
async fn find_many(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contracts: &[(CustomerId, ContractId)],
) -> Result<Vec<Contract>, sqlx::Error> {
    let (customers, ids) = columns(contracts);
    let rows = sqlx::query_as!(
        Columns,
        r#"SELECT contract.customer_id AS "customer_id: CustomerId", contract.id AS "id: ContractId",
                  package_id AS "package_id: PackageId", name,
                  rate_card_id AS "rate_card_id: RateCardId",
                  (SELECT fiat_credit_type_id FROM rate_card WHERE rate_card.environment_id = $1
                   AND rate_card.id = contract.rate_card_id) AS "unit_id: CreditTypeId", starting_at, ending_before,
                  initial_ending_before,
                  statement_frequency AS "statement_frequency: StatementFrequency", statement_anchor,
                  invoice_generation_starting_at, net_payment_terms_days, total_contract_value,
                  netsuite_sales_order_id, salesforce_opportunity_id,
                  multiplier_override_prioritization AS "multiplier_override_prioritization: MultiplierPrioritization",
                  scheduled_charges_on_usage_invoices AS "charges_on_usage_invoices: ChargesOnUsageInvoices",
                  (SELECT jsonb_agg(to_jsonb(usage_filter) ORDER BY added) FROM usage_filter
                   WHERE usage_filter.environment_id = $1 AND usage_filter.customer_id = contract.customer_id
                     AND usage_filter.contract_id = contract.id) AS "usage_filters: Json<Vec<UsageFilter>>",
                  (SELECT jsonb_agg(to_jsonb(contract_override) ORDER BY added) FROM contract_override
                   WHERE contract_override.environment_id = $1 AND contract_override.customer_id = contract.customer_id
                     AND contract_override.contract_id = contract.id) AS "overrides: Json<Vec<rate_override::Row>>",
                  uniqueness_key, created_at, created_by, archived_at, finalized_until
           FROM unnest($2::uuid[], $3::uuid[]) AS given (customer_id, id)
           JOIN contract ON contract.environment_id = $1 AND contract.customer_id = given.customer_id
                AND contract.id = given.id"#,
        environment_id.0,
        &customers,
        &ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The contract, locked until the transaction ends.
pub async fn find_for_update(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    id: ContractId,
) -> Result<Option<Contract>, sqlx::Error> {
    Ok(find_many_for_update(db, environment_id, &[(customer_id, id)]).await?.pop())
}

/// Contracts, each after its customer, locked until the transaction ends; in no order.
pub async fn find_many_for_update(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contracts: &[(CustomerId, ContractId)],
) -> Result<Vec<Contract>, sqlx::Error> {
    let (customers, ids) = columns(contracts);
    sqlx::query!(
        "SELECT contract.id
         FROM unnest($2::uuid[], $3::uuid[]) AS given (customer_id, id)
         JOIN contract ON contract.environment_id = $1 AND contract.customer_id = given.customer_id
              AND contract.id = given.id
         ORDER BY contract.id FOR NO KEY UPDATE OF contract",
        environment_id.0,
        &customers,
        &ids,
    )
    .fetch_all(&mut *db)
    .await?;
    find_many(db, environment_id, contracts).await
}

fn columns(contracts: &[(CustomerId, ContractId)]) -> (Vec<Uuid>, Vec<Uuid>) {
    contracts.iter().map(|(customer, contract)| (customer.0, contract.0)).unzip()
}

/// Which of these customers have only one contract, archived or not.
pub async fn with_one_contract(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_ids: &[Uuid],
) -> Result<Vec<CustomerId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT customer_id AS "customer_id: CustomerId" FROM contract
           WHERE environment_id = $1 AND customer_id = ANY($2) GROUP BY customer_id HAVING count(*) = 1"#,
        environment_id.0,
        customer_ids,
    )
    .fetch_all(db)
    .await
}

/// Keeps how far the statements of contracts are finalized.
pub async fn advance_statements(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contracts: &[Contract],
) -> Result<(), sqlx::Error> {
    let customers: Vec<Uuid> = contracts.iter().map(|contract| contract.customer_id.0).collect();
    let ids: Vec<Uuid> = contracts.iter().map(|contract| contract.id.0).collect();
    let until: Vec<Instant> = contracts.iter().map(|contract| contract.finalized_until).collect();
    sqlx::query!(
        "UPDATE contract SET finalized_until = given.until
         FROM unnest($2::uuid[], $3::uuid[], $4::timestamptz[]) AS given (customer_id, id, until)
         WHERE environment_id = $1 AND contract.customer_id = given.customer_id AND contract.id = given.id",
        environment_id.0,
        &customers,
        &ids,
        &until,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn archive(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    now: Instant,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE contract SET archived_at = $4 WHERE environment_id = $1 AND customer_id = $2 AND id = $3",
        environment_id.0,
        contract.customer_id.0,
        contract.id.0,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Moves the contract's end to what the contract says and appends to its history.
pub async fn change_end(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    changed_at: Instant,
    changed_by: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE contract SET ending_before = $4 WHERE environment_id = $1 AND customer_id = $2 AND id = $3",
        environment_id.0,
        contract.customer_id.0,
        contract.id.0,
        contract.ending_before,
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "INSERT INTO contract_end_change
             (environment_id, customer_id, contract_id, ending_before, changed_at, changed_by)
         VALUES ($1, $2, $3, $4, $5, $6)",
        environment_id.0,
        contract.customer_id.0,
        contract.id.0,
        contract.ending_before,
        changed_at,
        changed_by,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// All ends that the contract ever had; `None` is no end.
pub async fn ends_ever(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
) -> Result<Vec<Option<Instant>>, sqlx::Error> {
    let mut ends = sqlx::query_scalar!(
        "SELECT ending_before FROM contract_end_change
         WHERE environment_id = $1 AND customer_id = $2 AND contract_id = $3 ORDER BY added",
        environment_id.0,
        contract.customer_id.0,
        contract.id.0,
    )
    .fetch_all(db)
    .await?;
    ends.insert(0, contract.initial_ending_before);
    Ok(ends)
}

/// The contract's end as it was known at an instant.
pub async fn ending_before_as_of(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    at: Instant,
) -> Result<Option<Instant>, sqlx::Error> {
    let last = sqlx::query_scalar!(
        "SELECT ending_before FROM contract_end_change
         WHERE environment_id = $1 AND customer_id = $2 AND contract_id = $3 AND changed_at <= $4
         ORDER BY added DESC LIMIT 1",
        environment_id.0,
        contract.customer_id.0,
        contract.id.0,
        at,
    )
    .fetch_optional(db)
    .await?;
    Ok(last.unwrap_or(contract.initial_ending_before))
}

/// Customers that have contracts, in order, after `after`; at most `limit`.
pub async fn customers_with_contracts(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    after: Option<CustomerId>,
    limit: i64,
) -> Result<Vec<CustomerId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT DISTINCT customer_id AS "customer_id: CustomerId" FROM contract
           WHERE environment_id = $1 AND ($2::uuid IS NULL OR customer_id > $2) ORDER BY customer_id LIMIT $3"#,
        environment_id.0,
        after.map(|id| id.0),
        limit,
    )
    .fetch_all(db)
    .await
}

/// Whether any customer has a contract with this id, archived ones included.
pub async fn exists(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: ContractId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM contract WHERE environment_id = $1 AND id = $2) AS "exists!""#,
        environment_id.0,
        id.0,
    )
    .fetch_one(db)
    .await
}
