//! Statements with their values written into them.
//!
//! A statement with parameters takes two round trips, and a transaction around it two more. Written out, everything that
//! belongs to one transaction is one message: one round trip, and nothing that a pooler or a lost process leaves half done.
//! The price is that a server which logs a failed or slow statement logs its values, as `config/default.toml` says.

use std::fmt::Write as _;

/// `now()` in milliseconds; a transaction has one time. Written out, because the planner would read a function's text anew
/// in each statement.
macro_rules! now_ms {
    () => {
        "(extract(epoch FROM now()) * 1000)::bigint"
    };
}
pub(super) use now_ms;

/// A value in a statement.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Number(i64),
    Truth(bool),
    Null,
}

impl<'a, V: Into<Value<'a>>> From<Option<V>> for Value<'a> {
    fn from(value: Option<V>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Value::Text(value)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Value::Number(value)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Truth(value)
    }
}

/// The statements with the first value for `$1`, the second for `$2` and so on. A value is never searched for more of them.
pub(super) fn filled(template: &str, values: &[Value<'_>]) -> String {
    let mut sql = String::with_capacity(template.len() + 64 * values.len());
    let mut parts = template.split('$');
    sql.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits);
        let value = number.parse::<usize>().ok().and_then(|number| values.get(number.checked_sub(1)?));
        // A template is ours: a place without a value is a slip that every use of it shows.
        write(&mut sql, value.copied().unwrap_or(Value::Null));
        sql.push_str(rest);
    }
    sql
}

/// `(…),(…)`, as VALUES takes them.
pub(super) fn rows<'a, const COLUMNS: usize>(rows: impl Iterator<Item = [Value<'a>; COLUMNS]>) -> String {
    let mut sql = String::new();
    for row in rows {
        sql.push_str(if sql.is_empty() { "(" } else { ",(" });
        for (column, value) in row.into_iter().enumerate() {
            if column > 0 {
                sql.push(',');
            }
            write(&mut sql, value);
        }
        sql.push(')');
    }
    sql
}

fn write(sql: &mut String, value: Value<'_>) {
    match value {
        Value::Text(text) => write_text(sql, text),
        // Writing to a string does not fail. The brackets keep a minus from being taken for the operator before it.
        Value::Number(number) => drop(write!(sql, "({number})")),
        Value::Truth(truth) => sql.push_str(if truth { "true" } else { "false" }),
        Value::Null => sql.push_str("NULL"),
    }
}

/// As libpq's `PQescapeLiteral` does it, which holds whatever `standard_conforming_strings` and `backslash_quote` are.
fn write_text(sql: &mut String, text: &str) {
    sql.push_str("E'");
    for character in text.chars() {
        match character {
            '\'' => sql.push_str("''"),
            '\\' => sql.push_str(r"\\"),
            // It would end the message. The server refuses what this stands for, as it does in a parameter.
            '\0' => sql.push_str(r"\000"),
            other => sql.push(other),
        }
    }
    sql.push('\'');
}
