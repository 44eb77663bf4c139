//! Enums of the wire: read in any casing, kept and answered in one.
//!
//! The published document lists several casings for almost every request enum and one for most answers, so
//! input is matched without regard to ASCII case (our decision for the enums where it lists only one).

/// Declares an enum whose variants have one canonical spelling on the wire and in the database. Documented
/// spellings that are not supported yet stand behind `later` and are refused as such; other spellings of a variant that
/// are read but neither documented nor answered, behind `also`.
macro_rules! wire_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal),+ $(,)? }
        $(also [$($same:ident = $spelling:literal),+ $(,)?])?
        $(later [$($later:literal),+ $(,)?])?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_meta])* $variant),+ }

        impl $name {
            /// Every variant, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The canonical spelling.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The variant that `text` spells in any casing.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                $($(if text.eq_ignore_ascii_case($spelling) {
                    return Some(Self::$same);
                })+)?
                Self::ALL.iter().copied().find(|variant| variant.as_str().eq_ignore_ascii_case(text))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                let later: &[&str] = &[$($($later),+)?];
                match Self::parse(&text) {
                    Some(variant) => Ok(variant),
                    None if later.iter().any(|later| later.eq_ignore_ascii_case(&text)) => {
                        Err(serde::de::Error::custom(format!("`{text}` is not supported by this server yet")))
                    }
                    None => Err(serde::de::Error::unknown_variant(&text, &[$($text),+])),
                }
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": [$($text),+] })
            }
        }

        impl sqlx::Type<sqlx::Postgres> for $name {
            fn type_info() -> sqlx::postgres::PgTypeInfo {
                <str as sqlx::Type<sqlx::Postgres>>::type_info()
            }

            fn compatible(ty: &sqlx::postgres::PgTypeInfo) -> bool {
                <str as sqlx::Type<sqlx::Postgres>>::compatible(ty)
            }
        }

        impl<'r> sqlx::Decode<'r, sqlx::Postgres> for $name {
            fn decode(value: sqlx::postgres::PgValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
                let text = <&str as sqlx::Decode<sqlx::Postgres>>::decode(value)?;
                Self::parse(text).ok_or_else(|| format!("unknown {}: {text}", stringify!($name)).into())
            }
        }
    };
}

pub(crate) use wire_enum;

#[cfg(test)]
mod tests {
    wire_enum! {
        pub enum Fruit { Apple = "APPLE", StarFruit = "STAR_FRUIT" }
        also [StarFruit = "CARAMBOLA"]
        later ["PEACH"]
    }

    #[test]
    fn any_casing_in_one_casing_out() {
        for text in ["\"star_fruit\"", "\"Star_Fruit\"", "\"STAR_FRUIT\"", "\"Carambola\""] {
            let fruit: Fruit = serde_json::from_str(text).expect("a fruit");
            assert_eq!(serde_json::to_string(&fruit).expect("a fruit"), "\"STAR_FRUIT\"");
        }
    }

    #[test]
    fn an_unknown_spelling_names_the_known_ones() {
        let error = serde_json::from_str::<Fruit>("\"pear\"").expect_err("not a fruit").to_string();
        assert!(error.contains("`pear`") && error.contains("STAR_FRUIT"), "{error}");
        let error = serde_json::from_str::<Fruit>("\"peach\"").expect_err("a later fruit").to_string();
        assert!(error.contains("`peach` is not supported"), "{error}");
    }
}
