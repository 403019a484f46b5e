//! A row with all of its columns, whichever they are: what is handed out leaves nothing out.

use jiff::Timestamp;
use serde_json::{Map, Value};
use sqlx::{Column as _, Row as _, ValueRef as _, any::AnyRow};

use crate::store::StoreError;

/// The row as JSON: times as times, and JSON in a text as itself.
pub(super) fn told(row: &AnyRow) -> Result<Value, StoreError> {
    let mut told = Map::new();
    for column in row.columns() {
        let (name, at) = (column.name(), column.ordinal());
        // Keys by which rows are found again.
        if name.ends_with("_key") {
            continue;
        }
        let value = match row.try_get_raw(at)?.is_null() {
            true => Value::Null,
            false => match row.try_get::<i64, _>(at) {
                Ok(number) => number.into(),
                Err(_text) => text(row.try_get(at)?),
            },
        };
        match name.strip_suffix("_us") {
            Some(name) => {
                let at = value
                    .as_i64()
                    .and_then(|us| Timestamp::from_microsecond(us).ok());
                let name = match name {
                    "at" => String::from("at"),
                    name => format!("{name}_at"),
                };
                told.insert(name, at.map(|at| at.to_string()).into());
            }
            None => drop(told.insert(name.to_owned(), value)),
        }
    }
    Ok(told.into())
}

fn text(text: String) -> Value {
    match text.starts_with(['{', '[']) {
        true => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        false => Value::String(text),
    }
}
