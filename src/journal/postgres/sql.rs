//! Statements, and the values that are bound to them.
//!
//! No statement has a value written into it, so that a server which logs a failed or slow statement logs no fact. What belongs to
//! many calls is bound as arrays, a column each.

use std::borrow::Cow;
use tokio_postgres::types::{ToSql, Type};

/// `now()` in milliseconds; a transaction has one time. Written out, because the planner would read a function's text anew
/// in each statement.
macro_rules! now_ms {
    () => {
        "(extract(epoch FROM now()) * 1000)::bigint"
    };
}
pub(super) use now_ms;

/// A value, or a column of them.
pub(super) enum Value<'a> {
    Text(&'a str),
    Number(i64),
    Texts(Vec<&'a str>),
    OptionalTexts(Vec<Option<&'a str>>),
    Numbers(Vec<i64>),
    OptionalNumbers(Vec<Option<i64>>),
    Truths(Vec<bool>),
    OptionalTruths(Vec<Option<bool>>),
}

impl Value<'_> {
    /// As it is bound. Its type is told, or the server would have to be asked for it first.
    pub(super) fn typed(&self) -> (&(dyn ToSql + Sync), Type) {
        match self {
            Value::Text(value) => (value, Type::TEXT),
            Value::Number(value) => (value, Type::INT8),
            Value::Texts(values) => (values, Type::TEXT_ARRAY),
            Value::OptionalTexts(values) => (values, Type::TEXT_ARRAY),
            Value::Numbers(values) => (values, Type::INT8_ARRAY),
            Value::OptionalNumbers(values) => (values, Type::INT8_ARRAY),
            Value::Truths(values) => (values, Type::BOOL_ARRAY),
            Value::OptionalTruths(values) => (values, Type::BOOL_ARRAY),
        }
    }
}

/// A statement whose first value is its `$1`.
pub(super) struct Statement<'a> {
    pub(super) text: Cow<'static, str>,
    pub(super) values: Vec<Value<'a>>,
}

impl<'a> Statement<'a> {
    pub(super) fn new(text: impl Into<Cow<'static, str>>, values: Vec<Value<'a>>) -> Self {
        Self { text: text.into(), values }
    }

    pub(super) fn typed_values(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.values.iter().map(Value::typed).collect()
    }
}
