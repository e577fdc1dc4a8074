//! Enums that are one word each wherever they are written: in JSON, in SQL, in the OpenAPI document.

/// Declares such an enum with all that follows from its words. What is none of them is an error, never a
/// default. The first word in brackets names the field that such words stand in, for errors; the second, if
/// there is one, the schema in the OpenAPI document.
#[macro_export]
macro_rules! text_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident($field:literal $(as $schema:literal)?) {
            $( $(#[$variant_meta:meta])* $variant:ident = $word:literal, )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $( $(#[$variant_meta])* $variant, )+
        }

        impl $name {
            pub const WORDS: &[&str] = &[$($word),+];
            pub const ALL: [Self; Self::WORDS.len()] = [$(Self::$variant),+];

            pub const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$variant => $word, )+
                }
            }

            /// # Errors
            /// Names the field, and the words that may stand there.
            pub fn parse(text: &str) -> Result<Self, $crate::Invalid> {
                match text {
                    $( $word => Ok(Self::$variant), )+
                    _ => Err($crate::Invalid::new($field, $crate::text_enum::must_be(Self::WORDS))),
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::Invalid;

            fn from_str(text: &str) -> Result<Self, $crate::Invalid> {
                Self::parse(text)
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <::std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::parse(&text).map_err(|_| ::serde::de::Error::unknown_variant(&text, Self::WORDS))
            }
        }

        $crate::text_enum_in_sql!($name);
        $( $crate::text_enum_in_openapi!($name, $schema); )?
    };
}

/// As `text`. A column that holds another word cannot be decoded.
#[cfg(feature = "sqlx")]
#[macro_export]
#[doc(hidden)]
macro_rules! text_enum_in_sql {
    ($name:ident) => {
        $crate::text_enum_in_sql!($name, as_str);
    };
    ($name:ident, $as_str:ident) => {
        impl $crate::sqlx::Type<$crate::sqlx::Postgres> for $name {
            fn type_info() -> $crate::sqlx::postgres::PgTypeInfo {
                <str as $crate::sqlx::Type<$crate::sqlx::Postgres>>::type_info()
            }

            fn compatible(other: &$crate::sqlx::postgres::PgTypeInfo) -> bool {
                <str as $crate::sqlx::Type<$crate::sqlx::Postgres>>::compatible(other)
            }
        }

        impl $crate::sqlx::postgres::PgHasArrayType for $name {
            fn array_type_info() -> $crate::sqlx::postgres::PgTypeInfo {
                <&str as $crate::sqlx::postgres::PgHasArrayType>::array_type_info()
            }
        }

        impl $crate::sqlx::Encode<'_, $crate::sqlx::Postgres> for $name {
            fn encode_by_ref(
                &self,
                buffer: &mut $crate::sqlx::postgres::PgArgumentBuffer,
            ) -> Result<$crate::sqlx::encode::IsNull, $crate::sqlx::error::BoxDynError> {
                <&str as $crate::sqlx::Encode<$crate::sqlx::Postgres>>::encode(self.$as_str(), buffer)
            }
        }

        impl<'r> $crate::sqlx::Decode<'r, $crate::sqlx::Postgres> for $name {
            fn decode(
                value: $crate::sqlx::postgres::PgValueRef<'r>,
            ) -> Result<Self, $crate::sqlx::error::BoxDynError> {
                let text = <&str as $crate::sqlx::Decode<$crate::sqlx::Postgres>>::decode(value)?;
                Ok(Self::parse(text)?)
            }
        }
    };
}

#[cfg(not(feature = "sqlx"))]
#[macro_export]
#[doc(hidden)]
macro_rules! text_enum_in_sql {
    ($name:ident $(, $as_str:ident)?) => {};
}

#[cfg(feature = "utoipa")]
#[macro_export]
#[doc(hidden)]
macro_rules! text_enum_in_openapi {
    ($name:ident, $schema:literal) => {
        impl $crate::utoipa::PartialSchema for $name {
            fn schema() -> $crate::utoipa::openapi::RefOr<$crate::utoipa::openapi::Schema> {
                $crate::utoipa::openapi::ObjectBuilder::new()
                    .schema_type($crate::utoipa::openapi::Type::String)
                    .enum_values(Some(Self::WORDS.iter().copied()))
                    .into()
            }
        }

        impl $crate::utoipa::ToSchema for $name {
            fn name() -> ::std::borrow::Cow<'static, str> {
                $schema.into()
            }
        }
    };
}

#[cfg(not(feature = "utoipa"))]
#[macro_export]
#[doc(hidden)]
macro_rules! text_enum_in_openapi {
    ($name:ident, $schema:literal) => {};
}

/// `must be a, b or c`.
#[doc(hidden)]
pub fn must_be(words: &[&str]) -> String {
    match words.split_last() {
        Some((last, [])) => format!("must be {last}"),
        Some((last, others)) => format!("must be {} or {last}", others.join(", ")),
        None => "must not be there".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    text_enum! {
        #[derive(Default)]
        pub enum Colour("colour") {
            #[default]
            Red = "red",
            LightBlue = "light_blue",
            Green = "green",
        }
    }

    #[test]
    fn a_word_is_the_same_everywhere() {
        for colour in Colour::ALL {
            let word = colour.as_str();
            assert_eq!(Colour::parse(word), Ok(colour));
            assert_eq!(serde_json::to_value(colour).unwrap(), word);
            assert_eq!(serde_json::from_value::<Colour>(word.into()).unwrap(), colour);
        }
        let unknown = Colour::parse("blue").unwrap_err();
        assert_eq!(unknown.to_string(), "colour: must be red, light_blue or green");
        let unknown = serde_json::from_str::<Colour>("\"blue\"").unwrap_err().to_string();
        assert!(
            unknown.starts_with("unknown variant `blue`, expected one of `red`, `light_blue`"),
            "{unknown}"
        );
    }
}
