use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::calc::{Segment, replaced};
use super::input::Properties;
use crate::error::ApiError;
use crate::id::{ContractId, CustomerId, EnvironmentId, RateCardId, digest};
use crate::time::Instant;
use crate::wire::AnyJson;

/// What a schedule is on.
#[derive(Clone, Copy, Debug)]
pub enum Owner {
    RateCard(RateCardId),
    Customer(CustomerId),
    Contract(CustomerId, ContractId),
}

impl Owner {
    fn rate_card(self) -> Option<Uuid> {
        if let Self::RateCard(id) = self { Some(id.0) } else { None }
    }

    fn customer(self) -> Option<Uuid> {
        match self {
            Self::RateCard(_) => None,
            Self::Customer(id) | Self::Contract(id, _) => Some(id.0),
        }
    }

    fn contract(self) -> Option<Uuid> {
        if let Self::Contract(_, id) = self { Some(id.0) } else { None }
    }

    /// The id of its schedule with this name and these properties.
    fn schedule_id(self, name: &str, properties: &Properties) -> Uuid {
        let (kind, id) = match self {
            Self::RateCard(id) => ("rate card", id.0),
            Self::Customer(id) => ("customer", id.0),
            Self::Contract(_, id) => ("contract", id.0),
        };
        let properties = serde_json::to_vec(properties).expect("a map of strings is JSON");
        digest(&[kind.as_bytes(), id.as_bytes(), name.as_bytes(), &properties])
    }
}

/// Sets a value over its window: what was there is cut off or split. Requests for one schedule follow one another.
pub async fn set(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    owner: Owner,
    name: &str,
    properties: &Properties,
    new: Segment<AnyJson>,
) -> Result<(), ApiError> {
    let id = owner.schedule_id(name, properties);
    // The update changes nothing and holds the row.
    sqlx::query!(
        "INSERT INTO named_schedule (environment_id, id, rate_card_id, customer_id, contract_id, name, properties)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (environment_id, id) DO UPDATE SET name = excluded.name",
        environment_id.0,
        id,
        owner.rate_card(),
        owner.customer(),
        owner.contract(),
        name,
        Json(properties) as _,
    )
    .execute(&mut *db)
    .await?;
    let overlapped = remove_overlapped(db, environment_id, id, &new).await?;
    insert(db, environment_id, id, &replaced(overlapped, new)).await?;
    Ok(())
}

async fn remove_overlapped(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: Uuid,
    new: &Segment<AnyJson>,
) -> Result<Vec<Segment<AnyJson>>, ApiError> {
    let rows = sqlx::query!(
        r#"DELETE FROM named_schedule_segment
           WHERE environment_id = $1 AND schedule_id = $2
             AND tstzrange(starting_at, ending_before) && tstzrange($3, $4)
           RETURNING starting_at, ending_before, value::text AS "value!""#,
        environment_id.0,
        id,
        new.starting_at,
        new.ending_before,
    )
    .fetch_all(db)
    .await?;
    let mut segments = Vec::with_capacity(rows.len());
    for row in rows {
        segments.push(segment(row.starting_at, row.ending_before, row.value)?);
    }
    segments.sort_by_key(|segment| segment.starting_at);
    Ok(segments)
}

async fn insert(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: Uuid,
    segments: &[Segment<AnyJson>],
) -> Result<(), sqlx::Error> {
    let starts: Vec<Instant> = segments.iter().map(|segment| segment.starting_at).collect();
    let ends: Vec<Option<Instant>> = segments.iter().map(|segment| segment.ending_before).collect();
    let values: Vec<String> = segments.iter().map(|segment| segment.value.text().to_owned()).collect();
    sqlx::query!(
        "INSERT INTO named_schedule_segment (environment_id, schedule_id, starting_at, ending_before, value)
         SELECT $1, $2, starting_at, ending_before, value::json
         FROM unnest($3::timestamptz[], $4::timestamptz[], $5::text[]) AS given (starting_at, ending_before, value)",
        environment_id.0,
        id,
        &starts,
        &ends as _,
        &values,
    )
    .execute(db)
    .await?;
    Ok(())
}

fn segment(
    starting_at: Instant,
    ending_before: Option<Instant>,
    value: String,
) -> Result<Segment<AnyJson>, ApiError> {
    let value = AnyJson::kept(value)
        .map_err(|error| ApiError::internal("a value of a schedule is not JSON", error))?;
    Ok(Segment { starting_at, ending_before, value })
}

/// The values of a schedule in the order of time, only that of an instant where one is given; none where there is no
/// such schedule.
pub async fn find(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    owner: Owner,
    name: &str,
    properties: &Properties,
    covering: Option<Instant>,
) -> Result<Vec<Segment<AnyJson>>, ApiError> {
    let id = owner.schedule_id(name, properties);
    let mut segments = segments_of(db, environment_id, &[id], covering).await?;
    Ok(segments.remove(&id).unwrap_or_default())
}

/// The values of these schedules in the order of time, only those of an instant where one is given.
pub async fn segments_of(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ids: &[Uuid],
    covering: Option<Instant>,
) -> Result<BTreeMap<Uuid, Vec<Segment<AnyJson>>>, ApiError> {
    let rows = sqlx::query!(
        r#"SELECT schedule_id, starting_at, ending_before, value::text AS "value!"
           FROM named_schedule_segment
           WHERE environment_id = $1 AND schedule_id = ANY($2)
             AND ($3::timestamptz IS NULL OR tstzrange(starting_at, ending_before) @> $3)
           ORDER BY schedule_id, starting_at"#,
        environment_id.0,
        ids,
        covering,
    )
    .fetch_all(db)
    .await?;
    let mut segments: BTreeMap<Uuid, Vec<Segment<AnyJson>>> = BTreeMap::new();
    for row in rows {
        let segment = segment(row.starting_at, row.ending_before, row.value)?;
        segments.entry(row.schedule_id).or_default().push(segment);
    }
    Ok(segments)
}

/// A schedule of a contract.
#[derive(Clone, Debug)]
pub struct ContractSchedule {
    pub id: Uuid,
    pub contract_id: ContractId,
    pub name: String,
    pub properties: Properties,
}

/// What a list of contracts' schedules is narrowed to.
pub struct ScheduleFilter<'a> {
    pub contract_id: Option<ContractId>,
    pub name: Option<&'a str>,
    /// A schedule must have at least these.
    pub properties: &'a Properties,
}

/// A schedule's place in a list: by contract, then by name.
pub type SchedulePosition = (Uuid, String, Uuid);

/// The schedules of the contracts of a customer, by contract and name.
pub async fn list_of_contracts(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    filter: &ScheduleFilter<'_>,
    after: Option<SchedulePosition>,
    limit: usize,
) -> Result<Vec<ContractSchedule>, sqlx::Error> {
    let (after_contract, after_name, after_id) =
        after.map_or((None, None, None), |(contract, name, id)| (Some(contract), Some(name), Some(id)));
    let rows = sqlx::query!(
        r#"SELECT id, contract_id AS "contract_id!: ContractId", name,
                  properties AS "properties: Json<Properties>"
           FROM named_schedule
           WHERE environment_id = $1 AND customer_id = $2 AND contract_id IS NOT NULL
             AND ($3::uuid IS NULL OR contract_id = $3) AND ($4::text IS NULL OR name = $4) AND properties @> $5
             AND ($6::uuid IS NULL OR (contract_id, name, id) > ($6, $7, $8))
           ORDER BY contract_id, name, id LIMIT $9"#,
        environment_id.0,
        customer_id.0,
        filter.contract_id.map(|id| id.0),
        filter.name,
        Json(filter.properties) as _,
        after_contract,
        after_name,
        after_id,
        i64::try_from(limit).expect("limits are small"),
    )
    .fetch_all(db)
    .await?;
    let schedule = rows.into_iter().map(|row| ContractSchedule {
        id: row.id,
        contract_id: row.contract_id,
        name: row.name,
        properties: row.properties.0,
    });
    Ok(schedule.collect())
}
