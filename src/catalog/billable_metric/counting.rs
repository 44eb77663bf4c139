use super::definition::Definition;
use super::sql::SqlDefinition;

/// How a metric counts.
#[derive(Clone, Debug, PartialEq)]
pub enum Counting {
    Streaming(Definition),
    Sql(SqlDefinition),
}

impl Counting {
    /// The names of everything that usage can be grouped by.
    #[must_use]
    pub fn group_names(&self) -> Vec<&str> {
        match self {
            Self::Streaming(definition) => definition.group_names(),
            Self::Sql(definition) => definition.group_names(),
        }
    }

    #[must_use]
    pub fn is_sql(&self) -> bool {
        matches!(self, Self::Sql(_))
    }
}
