//! An operation's example as a shell command.

use serde_json::Value;

use super::text::escape;

/// The request of the example, for a shell in which `UPBEAT` is the server's address and `TOKEN` a token.
pub fn command(method: &str, route: &str, operation: &Value) -> String {
    let mut path = route.to_owned();
    let mut query = Vec::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default();
        for value in values(&parameter["example"]) {
            if parameter["in"] == "path" {
                path = path.replace(&format!("{{{name}}}"), &value);
            } else {
                query.push((name, value));
            }
        }
    }
    let mut lines = Vec::new();
    if method == "GET" && !query.is_empty() {
        lines.push(format!("curl -G \"$UPBEAT{path}\""));
        lines.extend(
            query
                .iter()
                .map(|(name, value)| format!("--data-urlencode {}", quoted(&format!("{name}={value}")))),
        );
    } else {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let query = if query.is_empty() { query } else { format!("?{query}") };
        let method = if matches!(method, "GET" | "POST") { String::new() } else { format!("-X {method} ") };
        lines.push(format!("curl {method}\"$UPBEAT{path}{query}\""));
    }
    lines.push("-H \"Authorization: Bearer $TOKEN\"".to_owned());
    let body = &operation["requestBody"]["content"]["application/json"]["example"];
    if !body.is_null() {
        let body = serde_json::to_string_pretty(body).expect("an example is JSON");
        lines.push("-H \"Content-Type: application/json\"".to_owned());
        lines.push(format!("-d {}", quoted(&body)));
    }
    escape(&lines.join(" \\\n  "))
}

/// As one word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What is sent for a parameter: a list as one parameter for each of its items.
fn values(example: &Value) -> Vec<String> {
    match example {
        Value::Null => Vec::new(),
        Value::Array(items) => items.iter().flat_map(values).collect(),
        Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_and_body_go_where_they_belong() {
        let operation = json!({
            "parameters": [
                { "name": "id", "in": "path", "example": "a-b" },
                { "name": "names", "in": "query", "example": ["x y", "z"] },
                { "name": "limit", "in": "query", "example": 2 },
                { "name": "unset", "in": "query" },
            ],
            "requestBody": { "content": { "application/json": { "example": { "name": "Bob's" } } } },
        });
        assert_eq!(
            command("PUT", "/v1/things/{id}", &operation),
            "curl -X PUT \"$UPBEAT/v1/things/a-b?names=x+y&amp;names=z&amp;limit=2\" \\\n  \
             -H \"Authorization: Bearer $TOKEN\" \\\n  \
             -H \"Content-Type: application/json\" \\\n  \
             -d '{\n  \"name\": \"Bob'\\''s\"\n}'"
        );
    }

    #[test]
    fn what_is_asked_for_stands_on_lines_of_its_own() {
        let parameters = json!([
            { "name": "limit", "in": "query", "example": 2 },
            { "name": "name", "in": "query", "example": "Bob & Co" },
        ]);
        assert_eq!(
            command("GET", "/v1/things", &json!({ "parameters": parameters })),
            "curl -G \"$UPBEAT/v1/things\" \\\n  --data-urlencode 'limit=2' \\\n  \
             --data-urlencode 'name=Bob &amp; Co' \\\n  -H \"Authorization: Bearer $TOKEN\""
        );
        assert_eq!(
            command("GET", "/v1/things", &json!({})),
            "curl \"$UPBEAT/v1/things\" \\\n  -H \"Authorization: Bearer $TOKEN\""
        );
    }
}
