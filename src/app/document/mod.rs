//! The OpenAPI document.
//!
//! Owns: what the document says beside the operations' own types and words: its head, the errors of all
//! operations in one place, descriptions as a reader needs them, and examples that were recorded from the running
//! server. Does not own: the page for reading it (see `console`).
//!
//! Invariants: a field of an answer is `required` exactly if it is in every answer, and may be `null` only if the
//! server writes `null`; an example is what the server said.

mod errors;
mod examples;
mod head;
mod schemas;
mod words;

use aide::axum::ApiRouter;
use aide::generate::in_context;
use aide::openapi::{
    MediaType, OpenApi, Operation, ParameterData, ParameterSchemaOrContent, Response, StatusCode,
};
use axum::Router;
use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use serde_json::Value;

use crate::access::App;
use crate::error::{CodedErrorBody, ErrorBody};

/// Where references to schemas lead.
const SCHEMAS: &str = "#/components/schemas/";

const JSON: &str = "application/json";

/// The operations as a router, and their document.
pub fn documented(operations: impl Fn() -> ApiRouter<App>) -> (Router<App>, OpenApi) {
    // What may be left out of a request can be in every answer: types are described as they are read and, a
    // second time, as they are written.
    let (router, mut document) = generate(&operations, SchemaSettings::for_deserialize);
    let (_, mut written) = generate(&operations, SchemaSettings::for_serialize);
    words::say(&mut document, words::OF_REQUESTS);
    words::say(&mut written, words::OF_ANSWERS);
    schemas::finish(&mut document, written);
    errors::list(&mut document);
    schemas::keep_used(&mut document);
    examples::show(&mut document);
    (router, document)
}

fn generate(
    operations: &impl Fn() -> ApiRouter<App>,
    direction: fn(SchemaSettings) -> SchemaSettings,
) -> (Router<App>, OpenApi) {
    let settings = SchemaSettings::draft07().with(|settings| settings.definitions_path = SCHEMAS.into());
    in_context(|context| {
        context.schema = direction(settings).into_generator();
        // Errors are listed when the operations are done; their schemas are made beside the others.
        context.schema.subschema_for::<ErrorBody>();
        context.schema.subschema_for::<CodedErrorBody>();
    });
    let mut document = head::document();
    let router = operations().finish_api(&mut document);
    (router, document)
}

/// Every operation with its name, such as `GET /v1/customers`.
fn operations_mut(document: &mut OpenApi) -> impl Iterator<Item = (String, &mut Operation)> {
    let items = document.paths.iter_mut().flat_map(|paths| &mut paths.paths);
    items.filter_map(|(route, item)| Some((route, item.as_item_mut()?))).flat_map(|(route, item)| {
        let operations = [
            ("GET", &mut item.get),
            ("POST", &mut item.post),
            ("PUT", &mut item.put),
            ("PATCH", &mut item.patch),
            ("DELETE", &mut item.delete),
        ];
        operations
            .into_iter()
            .filter_map(move |(method, operation)| Some((format!("{method} {route}"), operation.as_mut()?)))
    })
}

fn parameters_mut(operation: &mut Operation) -> impl Iterator<Item = &mut ParameterData> {
    operation.parameters.iter_mut().filter_map(|one| Some(one.as_item_mut()?.parameter_data_mut()))
}

/// The JSON of the request.
fn body_mut(operation: &mut Operation) -> Option<&mut MediaType> {
    operation.request_body.as_mut()?.as_item_mut()?.content.get_mut(JSON)
}

/// The answer of a success.
fn answer_mut(operation: &mut Operation) -> Option<&mut Response> {
    operation.responses.as_mut()?.responses.get_mut(&StatusCode::Code(200))?.as_item_mut()
}

/// Visits every schema, those inside of others too.
fn each_schema(document: &mut OpenApi, visit: impl FnMut(&mut Schema)) {
    let mut visit = RecursiveTransform(visit);
    for schema in document.components.iter_mut().flat_map(|components| components.schemas.values_mut()) {
        visit.transform(&mut schema.json_schema);
    }
    for (_, operation) in operations_mut(document) {
        for parameter in parameters_mut(operation) {
            if let ParameterSchemaOrContent::Schema(schema) = &mut parameter.format {
                visit.transform(&mut schema.json_schema);
            }
        }
        if let Some(schema) = body_mut(operation).and_then(|body| body.schema.as_mut()) {
            visit.transform(&mut schema.json_schema);
        }
        let contents = answer_mut(operation).into_iter().flat_map(|answer| answer.content.values_mut());
        for schema in contents.filter_map(|content| content.schema.as_mut()) {
            visit.transform(&mut schema.json_schema);
        }
    }
}

fn member_mut<'a>(schema: &'a mut Schema, name: &str) -> Option<&'a mut Value> {
    schema.as_object_mut()?.get_mut(name)
}
