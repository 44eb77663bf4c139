//! Requests under an `Idempotency-Key` whose answer was lost: they are done once, and the answer is had by asking
//! again.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread::{self, sleep};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Answer, Client, Database, Launch, Line, PATIENCE, Place, Proxy, Seeded, texts, wait_until,
};

const SENDERS: usize = 4;

fn customer(name: &str) -> Value {
    json!({ "name": name, "ingest_aliases": [name] })
}

/// Name and id of every customer.
fn kept(place: &Place) -> Vec<String> {
    texts(&place.options(), "SELECT name || ' ' || id FROM customer ORDER BY 1")
}

/// Sends customer after customer, each under its name as the key, until one gets no answer.
fn send_until_it_dies(client: &Client, prefix: &str, sent: &Mutex<BTreeMap<String, Option<String>>>) {
    for number in 0.. {
        let name = format!("{prefix}-{number}");
        let outcome = client.try_keyed(&name, "/v1/customers", &customer(&name));
        let text = match &outcome {
            Ok(answer) if answer.status == 200 => Some(answer.text.clone()),
            Ok(answer) => panic!("{answer:?}"),
            Err(_) => None,
        };
        sent.lock().expect("no sender panics").insert(name, text);
        if outcome.is_err() {
            return;
        }
    }
}

#[test]
fn a_server_killed_while_it_answers_does_everything_once() {
    let place = Place::new();
    let launch = Launch::new(&place).bootstrapped();
    let mut seeded = Seeded::new(21);
    let mut server = launch.serve();
    let sent = Mutex::new(BTreeMap::new());
    let mut lost = 0;
    for round in 0..5 {
        thread::scope(|scope| {
            for sender in 0..SENDERS {
                let (client, sent) = (server.client.clone(), &sent);
                scope.spawn(move || send_until_it_dies(&client, &format!("{round}-{sender}"), sent));
            }
            sleep(Duration::from_millis(seeded.between(200, 700)));
            server.kill();
        });
        server = launch.serve();
        // Only now: a commit that the killed server had asked for may still have been on its way.
        let before = kept(&place);
        let mut sent = sent.lock().expect("no sender panicked");
        assert!(sent.len() > SENDERS * (round + 1), "nothing was under way");
        for (name, answered) in sent.iter_mut() {
            let again = server.client.try_keyed(name, "/v1/customers", &customer(name)).expect("an answer");
            assert_eq!(again.status, 200, "{name}: {}", again.text);
            let is_kept = before.iter().any(|line| line.starts_with(&format!("{name} ")));
            assert_eq!(
                again.header("idempotency-replayed") == "true",
                is_kept,
                "{name}: the answer is there with the change"
            );
            lost += usize::from(answered.is_none() && is_kept);
            match answered {
                Some(text) => assert_eq!(*text, again.text, "{name} has another answer now"),
                None => *answered = Some(again.text),
            }
        }
        let kept = kept(&place);
        assert_eq!(kept.len(), sent.len(), "each customer once");
        for (name, text) in sent.iter() {
            let id = serde_json::from_str::<Value>(&text.clone().expect("an answer")).expect("JSON")["data"]
                ["id"]
                .clone();
            assert!(
                kept.contains(&format!("{name} {}", id.as_str().expect("an id"))),
                "{name} has another id"
            );
        }
        let lines = texts(
            &place.options(),
            "SELECT count(*)::text FROM audit_log WHERE action = 'create' AND resource_type = 'customer'",
        );
        assert_eq!(lines, [kept.len().to_string()], "one line for each");
    }
    println!("{lost} answers were lost after their commit");
    server.stop();
}

#[test]
fn an_answer_that_gets_lost_is_had_from_the_other_server() {
    let (place, database) = (Place::new(), Database::new());
    let launch = Launch::new(&place).database(&database.url).bootstrapped();
    let (one, other) = (launch.serve(), launch.serve());
    let proxy = Proxy::to(&one.client.address);
    let through = Client { address: proxy.address.clone(), ..one.client.clone() };
    let count = |table: &str| texts(&database.options(), &format!("SELECT count(*)::text FROM {table}"));

    proxy.set(Line::Forgetful);
    let requests: [(&str, Value); 2] = [
        ("/v1/customers", customer("acct")),
        ("/v1/contract-pricing/rate-cards/create", json!({ "name": "card" })),
    ];
    for (path, body) in requests {
        let table = if path == "/v1/customers" { "customer" } else { "rate_card" };
        let unanswered = through.begin_keyed(path, path, &body).expect("a request");
        assert!(wait_until(PATIENCE, || count(table) == ["1"]), "it is done");
        drop(unanswered);
        let ask = || -> Answer {
            let mut answer = None;
            // Until the first request is over, the others are told to come again.
            wait_until(PATIENCE, || {
                let asked = other.client.try_keyed(path, path, &body).expect("an answer");
                let is_final = asked.status != 409;
                answer = Some(asked);
                is_final
            });
            answer.expect("an answer")
        };
        let (first, second) = (ask(), ask());
        assert_eq!((first.status, first.header("idempotency-replayed")), (200, "true"), "{}", first.text);
        assert_eq!(first.text, second.text);
        assert_eq!(count(table), ["1"]);
        let other_body = other.client.try_keyed(path, path, &json!({ "name": "other" })).expect("an answer");
        assert_eq!((other_body.status, other_body.header("x-should-retry")), (409, "false"));
    }
    let stored = texts(&database.options(), "SELECT key FROM idempotency_key ORDER BY key");
    assert_eq!(stored, ["/v1/contract-pricing/rate-cards/create", "/v1/customers"]);
    one.stop();
    other.stop();
}
