//! The examples of the document: one story, told to the real router and written down.
//!
//! `make examples` (`UPBEAT_WRITE_EXAMPLES=1`) writes `openapi/examples.json`; otherwise the story must come out as
//! that file says. An operation that is new needs a line in the story.

mod story;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Map, Value, json};
use upbeat::access::{self, EnvironmentKind, NewToken, Role};
use uuid::Uuid;

use crate::support::{Api, differences};

/// Where the examples are kept.
const FILE: &str = "openapi/examples.json";

/// Operation, such as `GET /v1/customers`, and its example.
type Examples = BTreeMap<String, Value>;

/// A server that is told a story, and what it said.
struct Teller {
    api: Api,
    examples: Examples,
}

impl Teller {
    /// A new server, and a token with the name of what uses it.
    async fn new() -> Self {
        let api = Api::new().await;
        let mut db = api.app.db.acquire().await.expect("a connection");
        let sandbox = access::find_environment(&mut db, EnvironmentKind::Sandbox).await.expect("the sandbox");
        let token = NewToken::new(sandbox.id, "Billing backend", Role::Writer);
        let now = api.app.clock.now();
        let (_, secret) = access::create(&mut db, &api.app.ids, &token, now).await.expect("a token");
        drop(db);
        Self { api: api.with_bearer(&secret), examples: Examples::new() }
    }

    /// A request with parameters in path and query, and its answer; both are written down.
    async fn ask(&mut self, operation: &str, parameters: Value, body: Value) -> Value {
        let (method, route) = operation.split_once(' ').expect("a method and a route");
        let path = filled_in(route, &parameters);
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.api.send(method.parse().expect("a method"), &path, text.into()).await;
        assert_eq!(answer.status.as_u16(), 200, "{operation} {body}: {}", answer.body);
        let mut example = Map::new();
        for (name, part) in [("parameters", parameters), ("body", body), ("answer", answer.body.clone())] {
            if !part.is_null() {
                example.insert(name.to_owned(), part);
            }
        }
        let twice = self.examples.insert(operation.to_owned(), example.into());
        assert!(twice.is_none(), "{operation} is told twice");
        answer.body
    }

    /// A request without parameters; answers the `data`.
    async fn tell(&mut self, operation: &str, body: Value) -> Value {
        self.ask(operation, Value::Null, body).await.get("data").cloned().unwrap_or_default()
    }

    /// A request that makes an object; answers its id.
    async fn make(&mut self, operation: &str, body: Value) -> String {
        id(&self.tell(operation, body).await)
    }

    /// What happens without being written down; answers the id, if there is one.
    async fn aside(&self, path: &str, body: Value) -> String {
        let answer = self.api.post(path, body).await;
        assert_eq!(answer.status.as_u16(), 200, "{path}: {}", answer.body);
        id(&answer.body["data"])
    }
}

fn id(data: &Value) -> String {
    data["id"].as_str().unwrap_or_default().to_owned()
}

/// The path with its ids, and the query.
fn filled_in(route: &str, parameters: &Value) -> String {
    let mut path = route.to_owned();
    let mut query = Vec::new();
    for (name, value) in parameters.as_object().into_iter().flatten() {
        let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        for value in
            values.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        {
            let place = format!("{{{name}}}");
            if path.contains(&place) {
                path = path.replace(&place, &value);
            } else {
                query.push(format!("{name}={value}"));
            }
        }
    }
    if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
}

/// The same text for every run: each id that a run makes up is replaced by one that counts up in the order of
/// appearance, and so is each cursor.
fn stable(mut examples: Examples, fixed: &BTreeSet<String>) -> String {
    let mut cursors = Vec::new();
    for example in examples.values_mut() {
        replace_cursors(example, &mut cursors);
    }
    let text = serde_json::to_string_pretty(&examples).expect("JSON") + "\n";
    let mut known: BTreeMap<String, String> = fixed.iter().map(|id| (id.clone(), id.clone())).collect();
    let mut made_up = 0;
    let mut stable = String::new();
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let length = match rest.get(..36).filter(|word| word.parse::<Uuid>().is_ok()) {
            Some(id) => {
                let replaced = known.entry(id.to_owned()).or_insert_with(|| {
                    made_up += 1;
                    Uuid::from_u128(0x4000_8000_0000_0000_0000 + made_up).to_string()
                });
                stable.push_str(replaced);
                id.len()
            }
            None => {
                stable.push(first);
                first.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    stable
}

fn replace_cursors(value: &mut Value, known: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(cursor) if name == "next_page" || name == "cursor" => {
                        let at = known.iter().position(|one| one == cursor).unwrap_or(known.len());
                        if at == known.len() {
                            known.push(cursor.clone());
                        }
                        *cursor = format!("page-{}", at + 2);
                    }
                    other => replace_cursors(other, known),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace_cursors(item, known)),
        _ => {}
    }
}

fn document() -> Value {
    serde_json::to_value(upbeat::app::openapi()).expect("the document is JSON")
}

/// Every operation of the document with its name.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let items = document["paths"].as_object().expect("paths").iter();
    let operations = items.flat_map(|(route, item)| {
        let methods = item.as_object().expect("methods").iter();
        methods.map(move |(method, operation)| (format!("{} {route}", method.to_uppercase()), operation))
    });
    operations.collect()
}

#[tokio::test]
async fn the_examples_are_what_the_server_answers() {
    let mut teller = Teller::new().await;
    story::tell(&mut teller).await;
    let built: BTreeSet<String> = operations(&document()).into_iter().map(|(name, _)| name).collect();
    let told: BTreeSet<String> = teller.examples.keys().cloned().collect();
    let missing: Vec<&String> = built.symmetric_difference(&told).collect();
    assert!(missing.is_empty(), "tests/it/examples/story.rs does not tell, or tells in vain: {missing:?}");

    let units = teller.api.get("/v1/credit-types/list").await.data();
    let currencies = units.as_array().expect("a list").iter().filter(|unit| unit["is_currency"] == true);
    let fixed = currencies.map(id).collect();
    let recorded = stable(teller.examples, &fixed);
    if std::env::var_os("UPBEAT_WRITE_EXAMPLES").is_some() {
        fs::write(FILE, recorded).expect(FILE);
        return;
    }
    let committed = fs::read_to_string(FILE).expect(FILE);
    let [recorded, committed] =
        [recorded, committed].map(|text| serde_json::from_str::<Examples>(&text).expect("JSON"));
    for (operation, example) in &recorded {
        assert_eq!(committed.get(operation), Some(example), "{operation} in {FILE}; run `make examples`");
    }
    assert_eq!(
        committed.len(),
        recorded.len(),
        "{FILE} has operations that are not there; run `make examples`"
    );
}

#[test]
fn every_operation_shows_its_example() {
    for (name, operation) in operations(&document()) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let is_needed = parameter["required"] == true;
            assert!(!is_needed || !parameter["example"].is_null(), "{name}: {}", parameter["name"]);
        }
        for part in ["requestBody", "responses/200"] {
            let pointer = format!("/{part}/content/application~1json");
            if let Some(content) = operation.pointer(&pointer) {
                assert!(!content["example"].is_null(), "{name}: {part}");
            }
        }
    }
}

/// The server accepted the requests and gave the answers, so it is the schemas that are tested.
#[test]
fn the_schemas_describe_what_is_sent_and_answered() {
    let document = document();
    let mut found = Vec::new();
    let mut compared = 0;
    for (name, operation) in operations(&document) {
        let mut compare = |what: &str, schema: &Value, example: &Value| {
            if !example.is_null() {
                compared += 1;
                let differences = differences(&document, schema, example);
                found.extend(differences.into_iter().map(|difference| format!("{name} {what}{difference}")));
            }
        };
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            compare(&parameter["name"].to_string(), &parameter["schema"], &parameter["example"]);
        }
        for (what, pointer) in [("request", "/requestBody"), ("answer", "/responses/200")] {
            let content = &operation.pointer(pointer).unwrap_or(&Value::Null)["content"]["application/json"];
            compare(what, &content["schema"], &content["example"]);
        }
    }
    assert!(compared > 100, "the examples are where this test looks: {compared}");
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn ids_and_cursors_are_replaced_in_the_order_of_their_appearance() {
    let fixed = "2714e483-4ff1-48e4-9e25-ac732e8f24f2";
    let [one, other] = ["0198c0de-0000-7000-8000-00000000aaaa", "0198c0de-0000-7000-8000-00000000bbbb"];
    let example = json!({
        "answer": { "data": [{ "id": other, "words": format!("Made {one} of {other}"), "unit": fixed }], "next_page": "xyz" },
        "parameters": { "next_page": "uvw" },
    });
    let examples = Examples::from([("GET /v1/x".to_owned(), example)]);
    let text = stable(examples, &BTreeSet::from([fixed.to_owned()]));
    let value: Value = serde_json::from_str(&text).expect("JSON");
    let [first, second] = ["00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"];
    assert_eq!(
        value["GET /v1/x"],
        json!({
            "answer": {
                "data": [{ "id": first, "words": format!("Made {second} of {first}"), "unit": fixed }],
                "next_page": "page-2",
            },
            "parameters": { "next_page": "page-3" },
        })
    );
}
