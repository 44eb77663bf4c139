//! Reading a query string.

use std::collections::BTreeMap;

use aide::generate::GenContext;
use aide::openapi::Operation;
use aide::operation::{OperationInput, ParamLocation, add_parameters, parameters_from_schema};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use schemars::JsonSchema;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{self, DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use crate::error::ApiError;

/// The query parameters. Unknown ones are ignored; a bad one is answered 400 naming it.
///
/// Arrays come in three spellings: `a=1,2` (what the SDKs send), `a=1&a=2` and `a[]=1&a[]=2`; the comma splits
/// only parameters that are arrays.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            if value.contains('\0') {
                return Err(ApiError::field(&name, "contains the character NUL"));
            }
            let name = name.strip_suffix("[]").unwrap_or(&name).to_owned();
            parameters.entry(name).or_default().push(value.into_owned());
        }
        let members = parameters.into_iter().map(|(name, values)| (name, Values(values)));
        let result: Result<T, _> =
            serde_path_to_error::deserialize(MapDeserializer::<_, de::value::Error>::new(members));
        result.map(Self).map_err(|error| {
            let path = error.path().to_string();
            ApiError::field(&path, error.into_inner())
        })
    }
}

/// Every value that one parameter was given.
struct Values(Vec<String>);

impl Values {
    fn last(self) -> String {
        self.0.into_iter().next_back().unwrap_or_default()
    }
}

impl IntoDeserializer<'_, de::value::Error> for Values {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parsed {
    ($($method:ident $visit:ident $type:ty,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            let text = self.last();
            let value: $type = text.parse().map_err(|_| {
                de::Error::custom(format!("`{text}` is not a {}", if stringify!($type) == "bool" { "boolean" } else { "whole number" }))
            })?;
            visitor.$visit(value)
        }
    )*};
}

impl<'de> Deserializer<'de> for Values {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_string(self.last())
    }

    parsed! {
        deserialize_bool visit_bool bool,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
        deserialize_i64 visit_i64 i64,
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        let items = self.0.iter().flat_map(|value| value.split(','));
        let items: Vec<Values> =
            items.filter(|item| !item.is_empty()).map(|item| Values(vec![item.to_owned()])).collect();
        visitor.visit_seq(SeqDeserializer::new(items.into_iter()))
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct map
        struct enum identifier ignored_any
    }
}

impl<T: JsonSchema> OperationInput for Query<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let schema = ctx.schema.subschema_for::<T>();
        let parameters = parameters_from_schema(ctx, schema, ParamLocation::Query);
        add_parameters(ctx, operation, parameters);
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Filter {
        name: Option<String>,
        limit: Option<u32>,
        #[serde(default)]
        ids: Vec<String>,
        #[serde(default)]
        only: bool,
    }

    async fn read(query: &str) -> Result<Filter, String> {
        let (mut parts, ()) =
            Request::builder().uri(format!("/?{query}")).body(()).expect("a request").into_parts();
        Query::from_request_parts(&mut parts, &())
            .await
            .map(|Query(filter)| filter)
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn arrays_come_in_three_spellings_and_scalars_keep_their_commas() {
        for query in ["ids=a%2Cb", "ids=a&ids=b", "ids[]=a&ids[]=b"] {
            let filter = read(&format!("name=x%2Cy&{query}&unknown=1")).await.expect("a filter");
            assert_eq!(
                filter,
                Filter {
                    name: Some("x,y".into()),
                    limit: None,
                    ids: vec!["a".into(), "b".into()],
                    only: false
                }
            );
        }
    }

    #[tokio::test]
    async fn a_bad_parameter_is_named() {
        assert_eq!(read("limit=ten").await, Err("limit: `ten` is not a whole number".into()));
        assert_eq!(read("only=maybe").await, Err("only: `maybe` is not a boolean".into()));
        assert_eq!(read("name=a%00b").await, Err("name: contains the character NUL".into()));
    }
}
