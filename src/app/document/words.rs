//! Descriptions for readers, made from the comments of the code.

use aide::openapi::{OpenApi, ParameterSchemaOrContent};
use schemars::Schema;
use serde_json::Value;

use super::{answer_mut, each_schema, member_mut, operations_mut, parameters_mut};

/// Fields that mean the same in every request, where a field says nothing of its own.
pub const OF_REQUESTS: &[(&str, &str)] = &[
    ("limit", "How many rows a page has at most."),
    ("next_page", "The `next_page` of the answer before, together with the same filters."),
    ("cursor", "The `cursor` of the answer before, together with the same filters."),
    ("uniqueness_key", "Makes one object, ever: a second request with it is 409."),
    ("custom_fields", "Values for keys that `/v1/customFields/addKey` has added."),
];

/// The same for answers.
pub const OF_ANSWERS: &[(&str, &str)] = &[
    ("next_page", "Asks for the next page; null on the last one."),
    ("cursor", "Asks for the next page; null on the last one."),
    ("created_by", "The name of the token that made it."),
    ("archived_at", "When it was archived."),
    ("starting_at", "Inclusive."),
    ("starting_on", "Inclusive."),
    ("ending_before", "Exclusive."),
    ("custom_fields", "The values of custom fields."),
    ("uniqueness_key", "The key that it was made with."),
];

/// How remarks begin that tell maintainers where a rule or a shape comes from.
const REMARKS: &[&str] = &[
    "schema `",
    "operation `",
    "our decision",
    "inferred",
    "published document",
    "documentation",
    "Python SDK",
];

/// Gives every field, parameter and answer the words that a reader needs.
pub fn say(document: &mut OpenApi, everywhere: &[(&str, &str)]) {
    each_schema(document, |schema| {
        rewrite(schema);
        let Some(Value::Object(fields)) = member_mut(schema, "properties") else { return };
        for (name, words) in everywhere {
            if let Some(Value::Object(field)) = fields.get_mut(*name) {
                field.entry("description").or_insert_with(|| (*words).into());
            }
        }
    });
    for (_, operation) in operations_mut(document) {
        operation.description = operation.description.as_deref().map(for_readers);
        for parameter in parameters_mut(operation) {
            let known = everywhere.iter().find(|(name, _)| *name == parameter.name);
            let known = known.map(|(_, words)| (*words).to_owned());
            parameter.description = parameter.description.as_deref().map(for_readers).or(known);
            if let ParameterSchemaOrContent::Schema(schema) = &mut parameter.format {
                // It stands beside the parameter's name.
                schema.json_schema.remove("description");
            }
        }
        if let Some(answer) = answer_mut(operation) {
            for content in answer.content.values_mut() {
                "Served.".clone_into(&mut answer.description);
                if let Some(envelope) = &mut content.schema {
                    envelope.json_schema.remove("description");
                }
            }
        }
    }
}

fn rewrite(schema: &mut Schema) {
    if let Some(Value::String(description)) = member_mut(schema, "description") {
        *description = for_readers(description);
    }
}

/// The comment without its remarks for maintainers, on one line.
fn for_readers(comment: &str) -> String {
    let mut text = comment.split_whitespace().collect::<Vec<_>>().join(" ");
    for remark in REMARKS {
        while let Some(start) = text.find(&format!(" ({remark}")) {
            let Some(length) = text[start..].find(')') else { break };
            text.replace_range(start..=start + length, "");
        }
    }
    // A link to a type of the code.
    text.replace("[`", "`").replace("`]", "`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_for_maintainers_are_left_out() {
        let cases = [
            ("A price (schema `Rate`).", "A price."),
            ("At most 100 (our decision: an index holds it); more are 400.", "At most 100; more are 400."),
            ("From one unit to\n another (schema\n `Q`).", "From one unit to another."),
            ("The terms inside [`ContractV1`].", "The terms inside `ContractV1`."),
            ("A window (half-open).", "A window (half-open)."),
        ];
        for (comment, text) in cases {
            assert_eq!(for_readers(comment), text);
        }
    }
}
