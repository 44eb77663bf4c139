//! Examples of every operation, recorded from the running server by the tests (`make examples`).

use std::collections::BTreeMap;

use aide::openapi::{OpenApi, Operation};
use serde::Deserialize;
use serde_json::Value;

use super::{JSON, answer_mut, body_mut, operations_mut, parameters_mut};

/// By operation, such as `GET /v1/customers`.
const RECORDED: &str = include_str!("../../../openapi/examples.json");

/// A request that was made and the answer that was given.
#[derive(Deserialize)]
struct Recorded {
    #[serde(default)]
    parameters: BTreeMap<String, Value>,
    body: Option<Value>,
    answer: Option<Value>,
}

/// Gives every operation its example.
pub fn show(document: &mut OpenApi) {
    let mut recorded: BTreeMap<String, Recorded> =
        serde_json::from_str(RECORDED).expect("openapi/examples.json is as the tests write it");
    for (name, operation) in operations_mut(document) {
        if let Some(recorded) = recorded.remove(&name) {
            attach(operation, recorded);
        }
    }
}

fn attach(operation: &mut Operation, mut recorded: Recorded) {
    for parameter in parameters_mut(operation) {
        parameter.example = recorded.parameters.remove(&parameter.name);
    }
    if let Some(body) = body_mut(operation) {
        body.example = recorded.body;
    }
    if let Some(answer) = answer_mut(operation).and_then(|answer| answer.content.get_mut(JSON)) {
        answer.example = recorded.answer;
    }
}
