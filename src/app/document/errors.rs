//! The errors of all operations, in one place.

use std::collections::BTreeMap;

use aide::openapi::{
    Header, HeaderStyle, MediaType, OpenApi, Operation, ParameterSchemaOrContent, ReferenceOr, Response,
    SchemaObject, StatusCode,
};
use schemars::{Schema, json_schema};
use serde_json::Value;

use super::{JSON, SCHEMAS, body_mut, operations_mut};
use crate::access::{SECURITY_SCHEME, default_rate_limit};
use crate::wire::BODY_LIMIT_BYTES;

/// An error that operations share, under its name in the document.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shared {
    BadRequest,
    CodedBadRequest,
    Unauthorized,
    Forbidden,
    ForbiddenToReaders,
    NotFound,
    KeyConflict,
    Conflict,
    TooManyRequests,
    Other,
}

impl Shared {
    const ALL: [Self; 10] = [
        Self::BadRequest,
        Self::CodedBadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::ForbiddenToReaders,
        Self::NotFound,
        Self::KeyConflict,
        Self::Conflict,
        Self::TooManyRequests,
        Self::Other,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::CodedBadRequest => "CodedBadRequest",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::ForbiddenToReaders => "ForbiddenToReaders",
            Self::NotFound => "NotFound",
            Self::KeyConflict => "KeyConflict",
            Self::Conflict => "Conflict",
            Self::TooManyRequests => "TooManyRequests",
            Self::Other => "OtherError",
        }
    }

    fn meaning(self) -> String {
        match self {
            Self::BadRequest => {
                "A field is missing or wrong, or a rule forbids what is asked. The message names \
                                 the field."
                    .to_owned()
            }
            Self::CodedBadRequest => {
                "With a code: a field is missing or wrong, an id is unknown, or a rule forbids what is \
                                      asked. The code says which, the message names the field."
                    .to_owned()
            }
            Self::Unauthorized => {
                "There is no bearer token, or it is unknown, archived or expired.".to_owned()
            }
            Self::Forbidden => {
                "The token may not be used for this operation, from this address or in this environment."
                    .to_owned()
            }
            Self::ForbiddenToReaders => {
                "The token is a reader's, or may not be used for this operation, from this \
                                         address or in this environment."
                    .to_owned()
            }
            Self::NotFound => "This environment has no object with that id. The message names it.".to_owned(),
            Self::KeyConflict => "The `Idempotency-Key` was used for another request.".to_owned(),
            Self::Conflict => {
                "A name, an alias or a key that may be used once is taken; or the `Idempotency-Key` \
                               was used for another request, or is in use by one that is being served."
                    .to_owned()
            }
            Self::TooManyRequests => {
                "Too many requests, where the operator of this server has set a limit.".to_owned()
            }
            Self::Other => format!(
                "Not served for another reason: 413 for a body over {} MiB, 500 for a fault of the server, 503 with \
                 `Retry-After` while it cannot serve.",
                BODY_LIMIT_BYTES / (1024 * 1024)
            ),
        }
    }

    fn response(self) -> Response {
        let schema = if self == Self::CodedBadRequest { "CodedError" } else { "Error" };
        let mut response = error(self.meaning(), schema);
        if self == Self::TooManyRequests {
            response.headers = [wait()].into_iter().collect();
        }
        response
    }

    fn reference(self) -> ReferenceOr<Response> {
        ReferenceOr::ref_(&format!("#/components/responses/{}", self.name()))
    }
}

fn error(description: String, schema: &str) -> Response {
    let json_schema = Schema::new_ref(format!("{SCHEMAS}{schema}"));
    let schema = SchemaObject { json_schema, example: None, external_docs: None };
    let content = MediaType { schema: Some(schema), ..MediaType::default() };
    Response {
        description,
        content: [(JSON.to_owned(), content)].into_iter().collect(),
        ..Response::default()
    }
}

fn wait() -> (String, ReferenceOr<Header>) {
    let json_schema = json_schema!({ "type": "integer", "minimum": 1 });
    let header = Header {
        description: Some("After how many seconds to try again.".to_owned()),
        style: HeaderStyle::Simple,
        required: true,
        deprecated: None,
        format: ParameterSchemaOrContent::Schema(SchemaObject {
            json_schema,
            example: None,
            external_docs: None,
        }),
        example: None,
        examples: [].into_iter().collect(),
        extensions: [].into_iter().collect(),
    };
    ("Retry-After".to_owned(), ReferenceOr::Item(header))
}

/// Lists at every operation the errors that it may answer, and what they mean.
pub fn list(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    let schemas = components.schemas.iter();
    let schemas =
        schemas.map(|(name, schema)| (name.clone(), schema.json_schema.clone().to_value())).collect();
    components.responses =
        Shared::ALL.map(|shared| (shared.name().to_owned(), ReferenceOr::Item(shared.response()))).into();
    for (name, operation) in operations_mut(document) {
        let errors = errors_of(&name, operation, &schemas);
        let responses = operation.responses.get_or_insert_default();
        responses.default = Some(Shared::Other.reference());
        for (status, shared) in errors {
            responses.responses.insert(StatusCode::Code(status), shared.reference());
        }
        if let Some(per_second) = default_rate_limit(&name) {
            let meaning = format!(
                "More than {per_second} requests a second, unless the operator of this server has set another limit."
            );
            let limited = Response { headers: [wait()].into_iter().collect(), ..error(meaning, "Error") };
            responses.responses.insert(StatusCode::Code(429), ReferenceOr::Item(limited));
        }
    }
}

fn errors_of(name: &str, operation: &mut Operation, schemas: &BTreeMap<String, Value>) -> Vec<(u16, Shared)> {
    let is_coded = name.contains(" /v2/") || name == "POST /v1/packages/listContractsOnPackage";
    let is_post = name.starts_with("POST ");
    let writer = vec!["writer".to_owned()];
    let is_write = operation.security.iter().any(|one| one.get(SECURITY_SCHEME) == Some(&writer));
    let mut errors = Vec::new();
    // A POST may carry an `Idempotency-Key`, which may be malformed.
    if is_post || operation.request_body.is_some() || !operation.parameters.is_empty() {
        errors.push((400, if is_coded { Shared::CodedBadRequest } else { Shared::BadRequest }));
    }
    errors.push((401, Shared::Unauthorized));
    errors.push((403, if is_write { Shared::ForbiddenToReaders } else { Shared::Forbidden }));
    if !is_coded && names_an_object(name, operation, schemas) {
        errors.push((404, Shared::NotFound));
    }
    if is_post && name != "POST /v1/ingest" {
        errors.push((409, if is_write { Shared::Conflict } else { Shared::KeyConflict }));
    }
    errors.push((429, Shared::TooManyRequests));
    errors
}

/// Operations that answer an unknown id like any other bad field, 400.
const UNKNOWN_IS_BAD: &[&str] =
    &["POST /v1/contract-pricing/products/create", "POST /v1/contracts/customerBalances/getNetBalance"];

/// Operations that name an object further down in their body.
const NAMES_WITHIN: &[&str] = &["POST /v1/composite/createCustomerWithContract"];

/// Whether a request names an object by its id, in its path or its body. Pricing units that
/// something else is in are no objects of the request: an unknown one is 400.
fn names_an_object(name: &str, operation: &mut Operation, schemas: &BTreeMap<String, Value>) -> bool {
    if UNKNOWN_IS_BAD.contains(&name) {
        return false;
    }
    let body = body_mut(operation).and_then(|body| body.schema.as_ref());
    name.contains('{')
        || NAMES_WITHIN.contains(&name)
        || body.is_some_and(|schema| has_id(schema.json_schema.as_value(), schemas))
}

fn has_id(schema: &Value, schemas: &BTreeMap<String, Value>) -> bool {
    let referred =
        schema["$ref"].as_str().and_then(|reference| schemas.get(reference.strip_prefix(SCHEMAS)?));
    let parts = schema["allOf"].as_array();
    let is_id = |field: &Value| field["format"] == "uuid" || field["items"]["format"] == "uuid";
    let fields = schema["properties"].as_object();
    fields.is_some_and(|fields| {
        fields.iter().any(|(name, field)| is_id(field) && !name.ends_with("credit_type_id"))
    }) || referred.is_some_and(|schema| has_id(schema, schemas))
        || parts.is_some_and(|parts| parts.iter().any(|part| has_id(part, schemas)))
}
