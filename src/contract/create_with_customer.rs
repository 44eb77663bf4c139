//! `POST /v1/composite/createCustomerWithContract`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::create::{ContractTerms, create};
use crate::access::{App, Record, Writer};
use crate::custom_field::CustomFields;
use crate::customer::create::{CreateCustomer, create as create_customer};
use crate::error::ApiError;
use crate::id::{ContractId, CustomerId};
use crate::wire::{Data, JsonBoth};

#[derive(Deserialize, JsonSchema)]
pub struct CreateCustomerWithContract {
    customer: CreateCustomer,
    /// The first contract of the customer.
    contract: ContractTerms,
}

/// Terms that only `/v1/contracts/create` takes: refused here, lest the contract be made without them (our decision).
#[derive(Deserialize, JsonSchema)]
pub struct OfOtherContracts {
    #[serde(default)]
    #[schemars(skip)]
    contract: OfOtherContract,
}

#[derive(Default, Deserialize)]
struct OfOtherContract {
    customer_id: Option<Value>,
    package_id: Option<Value>,
    package_alias: Option<Value>,
    transition: Option<Value>,
}

impl OfOtherContract {
    fn refuse(&self) -> Result<(), ApiError> {
        let terms = [
            ("customer_id", &self.customer_id),
            ("package_id", &self.package_id),
            ("package_alias", &self.package_alias),
            ("transition", &self.transition),
        ];
        match terms.into_iter().find(|(_, given)| given.is_some()) {
            Some((field, _)) => {
                let reason = "is not taken here; create the customer, then its contract";
                Err(ApiError::field(&format!("contract.{field}"), reason))
            }
            None => Ok(()),
        }
    }
}

/// What was made (schema `CustomerAndContract`).
#[derive(Serialize, JsonSchema)]
pub struct CustomerAndContract {
    customer_id: CustomerId,
    customer_name: String,
    ingest_aliases: Vec<String>,
    /// Those of the customer.
    custom_fields: CustomFields,
    contract_id: ContractId,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    JsonBoth(request, others): JsonBoth<CreateCustomerWithContract, OfOtherContracts>,
) -> Result<axum::Json<Data<CustomerAndContract>>, ApiError> {
    others.contract.refuse()?;
    let contract_id: ContractId = app.ids.next();
    let mut change = caller.begin(&app).await?;
    let customer = create_customer(&mut change, &app.ids, &caller, request.customer)
        .await
        .map_err(|error| of_part("customer", error))?;
    let new = request
        .contract
        .checked(contract_id, customer.id, &app.ids, caller.now)
        .map_err(|error| of_part("contract", error))?;
    create(&mut change, &caller, new).await.map_err(|error| of_part("contract", error))?;
    let words = format!("Created customer {} with contract {contract_id}", customer.name);
    let record = Record::new(customer.id.0, words);
    let made = CustomerAndContract {
        customer_id: customer.id,
        customer_name: customer.name,
        ingest_aliases: customer.ingest_aliases,
        custom_fields: customer.custom_fields,
        contract_id,
    };
    let answer = change.commit(record, axum::Json(Data { data: made })).await?;
    app.work_ready.notify_one();
    Ok(answer)
}

/// The mistake with the part of the request that it is in.
fn of_part(part: &str, error: ApiError) -> ApiError {
    match error {
        ApiError::NotFound(message) => ApiError::NotFound(format!("{part}: {message}")),
        ApiError::Conflict(message) => ApiError::Conflict(format!("{part}: {message}")),
        other => other.within(part),
    }
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("createCustomerWithContract")
        .tag("Contracts")
        .summary("Create a customer with its first contract")
        .description("Both or neither. Messages begin with the part of the request that they are about.")
}
