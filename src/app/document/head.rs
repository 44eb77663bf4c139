//! What stands before the operations.

use aide::openapi::{Info, OpenApi, ReferenceOr, SecurityScheme, Tag};

use crate::access::SECURITY_SCHEME;

/// The parts of the API, in the order in which one comes to need them.
const TAGS: &[(&str, &str)] = &[
    ("Customers", "Who is billed, and under which names its usage arrives."),
    ("Billable metrics", "What is counted, from which usage events."),
    ("Products", "What is sold, and how it is shown on invoices."),
    ("Rate cards", "What products cost, over time."),
    ("Contracts", "What was agreed with a customer: prices, terms and when its statements close."),
    ("Credits and commits", "Value that usage draws before it is billed: paid for, promised or given away."),
    ("Packages", "Contract terms for many customers, their dates counted from the start of each contract."),
    (
        "Named schedules",
        "Values over time under a name, for pricing logic of your own; no invoice comes from them.",
    ),
    ("Usage", "Usage events in, quantities out."),
    ("Invoices", "What a customer owes: a draft while its period runs, final after it."),
    ("Custom fields", "Keys and values of your own on objects."),
    ("Settings", "What holds for the whole environment."),
    ("Audit logs", "Who changed what, and when."),
    ("Sandbox", "The clock of a sandbox environment, an extension of this server's own."),
];

const DESCRIPTION: &str = "\
Every request carries `Authorization: Bearer <token>`; the token selects the environment, sandbox or production. \
Amounts in USD are cents, those in every other currency whole units; they are exact decimals. Periods include their \
start and exclude their end; instants are UTC. A field that is not documented is ignored. The header \
`Idempotency-Key` makes a POST safe to repeat. The examples are one story, recorded from a running server.";

/// The document before its operations.
pub fn document() -> OpenApi {
    let mut document = OpenApi {
        info: Info {
            title: "Upbeat".to_owned(),
            summary: Some("Usage billing that speaks the Metronome HTTP API".to_owned()),
            description: Some(DESCRIPTION.to_owned()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Info::default()
        },
        tags: TAGS.iter().map(|(name, description)| tag(name, description)).collect(),
        ..OpenApi::default()
    };
    let bearer = serde_json::from_value(serde_json::json!({
        "type": "http",
        "scheme": "bearer",
        "description": "A token of one environment. An operation names the least role that it needs: a `reader` may \
                        call what only reads, a `writer` everything.",
    }))
    .expect("a security scheme of the OpenAPI specification");
    let components = document.components.get_or_insert_default();
    components
        .security_schemes
        .insert(SECURITY_SCHEME.to_owned(), ReferenceOr::Item::<SecurityScheme>(bearer));
    document.security.push([(SECURITY_SCHEME.to_owned(), Vec::new())].into_iter().collect());
    document
}

fn tag(name: &str, description: &str) -> Tag {
    Tag { name: name.to_owned(), description: Some(description.to_owned()), ..Tag::default() }
}
